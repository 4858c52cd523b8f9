-- What the loops of hosts have in common whose callers are plain coroutines, which any code may resume.
--
-- A coroutine that a caller has made for itself, a generator say, must not call the client: its yield would go to the
-- wrong place.

local core = require "silly.store.etcd.core"

local coroutines = {}

--- May the running coroutine be suspended right here? If not, what to do, where there is something.
---@type fun(): boolean, string?
coroutines.isyieldable = coroutine.isyieldable or core.isyieldable -- luacheck: ignore 143

--- `handle`, if the running coroutine may be suspended right here. If not nil, and why, where that is to be told.
---@generic T
---@param handle T  what a loop knows it by
---@return T? handle
---@return string? problem
function coroutines.able(handle)
	local able, problem = coroutines.isyieldable()
	if able then
		return handle
	end
	return nil, problem
end

--- The standalone `silly` runtime, if it is loaded: that may be later, or never, so it is looked up and not required.
--- The silly framework has a module of the same name.
---@return silly.task?
function coroutines.runtime()
	local task = package.loaded["silly.task"]
	return type(task) == "table" and task._standalone and task or nil
end

-- Is the caller a task of the standalone runtime? That resumes it, and nobody else may.
local function istask()
	local task = coroutines.runtime()
	return task and task.running()
end

--- The running coroutine, if it may be suspended.
---@return thread? co
---@return string? problem
function coroutines.current()
	local co, main = coroutine.running()
	if co and not main and not istask() then
		return coroutines.able(co)
	end
end

-- What a caller's coroutine yields: a generator's user may come to see it.
local WAITS = setmetatable({}, {
	__tostring = function() return "silly.store.etcd: a call waits here, which must not be made in a generator" end,
})

--- What `park` of a loop returns: why the call ends, where its caller was resumed before the waiter was done.
coroutines.EARLY = "the coroutine was resumed before the answer came, not by its loop"

local EARLY = coroutines.EARLY

--- Suspends the caller.
---@async
---@return string problem
function coroutines.park()
	coroutine.yield(WAITS)
	return EARLY
end

--- The text of any error value, with a traceback.
---@param problem any
---@param co thread?  where it was raised; without it, the caller
---@return string
function coroutines.traceback(problem, co)
	local ok, text = pcall(tostring, problem)
	if not ok or type(text) ~= "string" then
		text = "(error object is a " .. type(problem) .. " value)"
	end
	if co then
		return debug.traceback(co, text)
	end
	return debug.traceback(text, 2)
end

local close = coroutine.close -- luacheck: ignore 143

--- Closes the variables of a coroutine that will not be resumed again: that is the duty of who has resumed it.
---@param co thread
---@param problem any  what it has raised, if it has
---@return string? report  of what failed meanwhile
function coroutines.close(co, problem)
	if not close then
		return nil
	end
	local closed, why = close(co)
	return not closed and why ~= problem and coroutines.traceback(why, co) or nil
end

--- Reports the failure of a coroutine, and closes its variables.
---@param co thread
---@param problem any  what it has raised
---@return string report
function coroutines.bury(co, problem)
	local report = coroutines.traceback(problem, co)
	local again = coroutines.close(co, problem)
	return again and report .. "\nwhile closing: " .. again or report
end

--- Reports a failure where no host does.
---@param traceback string
function coroutines.report(traceback)
	io.stderr:write(traceback, "\n")
end

--- A way to resume callers. An error that one raises is its own: it is reported, and others go on.
---@param report fun(traceback: string)
---@return fun(co: thread) wake
function coroutines.waker(report)
	return function(co)
		if coroutine.status(co) == "suspended" then
			local ok, problem = coroutine.resume(co)
			if not ok then
				report(coroutines.bury(co, problem))
			end
		end
	end
end

local unpack = table.unpack or rawget(_G, "unpack") -- luacheck: ignore 143

--- A function that calls `f` with these arguments.
---@param f function
---@param ... any
---@return fun(): any
function coroutines.bind(f, ...)
	local count, arguments = select("#", ...), { ... }
	return function() return f(unpack(arguments, 1, count)) end
end

--- A way to start callers, which ends as `wake` does with them.
---@param wake fun(co: thread)
---@return fun(f: function, ...: any) go
function coroutines.starter(wake)
	return function(f, ...)
		wake(coroutine.create(coroutines.bind(f, ...)))
	end
end

return coroutines
