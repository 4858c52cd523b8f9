-- The standalone `silly` runtime for plain Lua: what every script for the silly framework starts from.
-- In: a main function, or the script that bin/silly-run loads.
-- Out: its tasks run to their end on the calling thread; silly.exit ends the process.

local task = require "silly.task"
local time = require "silly.time"
local coroutines = require "silly.store.etcd.loops.coroutines"
local protect = require "silly.store.etcd.protect"

---@class silly
local silly = {
	sleep = time.sleep,
	run = task.run,
}

--- End the process at once, from wherever; the Lua state is closed first where Lua can do that (5.2 and later).
---@param code? integer exit status, 0 by default
function silly.exit(code)
	os.exit(code, true)
end

--- pcall whose error comes with a traceback, as one string.
---@type fun(f: function, ...: any): boolean, ...
silly.pcall = function(f, ...)
	return protect.xpcall(coroutines.traceback, f, ...)
end

return silly
