-- The standalone `silly` runtime for plain Lua: what every script for the silly framework starts from.
-- In: a main function, or the script that bin/silly-run loads.
-- Out: its tasks run to their end on the calling thread; silly.exit ends the process.

local task = require "silly.task"
local time = require "silly.time"

---@class silly
local silly = {
	sleep = time.sleep,
	run = task.run,
}

--- End the process at once, from wherever; the Lua state is closed first where Lua can do that (5.2 and later).
---@param code integer|nil exit status, 0 by default
function silly.exit(code)
	os.exit(code, true)
end

local probe = coroutine.create(function() pcall(coroutine.yield) end)
coroutine.resume(probe)

if coroutine.status(probe) == "suspended" then
	--- pcall whose error comes with a traceback.
	---@param f function
	---@param ... any arguments for `f`
	---@return boolean ok
	---@return any ... the results, or error and traceback as one string
	function silly.pcall(f, ...)
		return xpcall(f, task.traceback, ...)
	end
else
	-- Lua 5.1 cannot yield through pcall: f runs in a coroutine that passes its yields on.
	function silly.pcall(f, ...)
		local inner = coroutine.create(function(...) return f(...) end)
		task.lend(inner)
		local function pass(ok, ...)
			if not ok then
				return false, task.traceback((...), inner)
			elseif coroutine.status(inner) == "dead" then
				return true, ...
			end
			return pass(coroutine.resume(inner, coroutine.yield(...)))
		end
		return pass(coroutine.resume(inner, ...))
	end
end

return silly
