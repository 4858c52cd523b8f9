-- A pcall in which a caller can be suspended, on every Lua and every loop.
--
-- Lua 5.1's own is none: there the function runs in a coroutine that passes its yields on to the one around it, and
-- counts as that one wherever a caller is named.

local isyieldable = require("silly.store.etcd.loops.coroutines").isyieldable

local protect = {}

--- The coroutine that a loop resumes for this one.
---@generic T
---@param co T  or whatever else a loop knows its callers by
---@return T
function protect.outermost(co)
	return co
end

--- pcall, whose error is changed by `describe`.
---@param describe fun(problem: any, co: thread?): any  gets the coroutine of the error where that has ended
---@param f function
---@param ... any arguments for `f`
---@return boolean ok
---@return any ... the results of `f`, or what `describe` has returned
function protect.xpcall(describe, f, ...)
	return xpcall(f, describe, ...)
end

protect.pcall = pcall

if _VERSION < "Lua 5.2" and not rawget(_G, "jit") then
	local unpack = rawget(_G, "unpack")

	-- coroutine -> the one around it, which is what a loop resumes
	local around = setmetatable({}, { __mode = "kv" })

	function protect.outermost(co)
		-- The rock's pcall, which copas brings along, does the same.
		local coxpcall = package.loaded.coxpcall
		if type(coxpcall) == "table" and type(co) == "thread" then
			co = coxpcall.running(co)
		end
		return around[co] or co
	end

	---@async
	local function within(describe, co, f, ...)
		local inner = coroutine.create(function(...) return f(...) end)
		around[inner] = protect.outermost(co)
		---@async
		local function pass(ok, ...)
			if not ok then
				return false, describe((...), inner)
			elseif coroutine.status(inner) == "dead" then
				return true, ...
			end
			return pass(coroutine.resume(inner, coroutine.yield(...)))
		end
		return pass(coroutine.resume(inner, ...))
	end

	local function same(problem)
		return problem
	end

	---@async
	function protect.xpcall(describe, f, ...)
		local co = coroutine.running()
		if co and isyieldable() then
			return within(describe, co, f, ...)
		end
		-- Lua 5.1's has no arguments.
		local count, arguments = select("#", ...), { ... }
		return xpcall(function() return f(unpack(arguments, 1, count)) end, describe)
	end

	--- pcall.
	---@async
	---@param f function
	---@param ... any arguments for `f`
	---@return boolean ok
	---@return any ... the results of `f`, or the error
	function protect.pcall(f, ...)
		local co = coroutine.running()
		if co and isyieldable() then
			return within(same, co, f, ...)
		end
		return pcall(f, ...)
	end
end

return protect
