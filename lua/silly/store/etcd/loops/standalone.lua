-- The loop of plain Lua: callers inside a task of the standalone `silly` runtime are parked there, all others block.
--
-- The runtime may be loaded later than this module, or never, so it is looked up and not required.

local RESUMED = require("silly.store.etcd.loops.coroutines").RESUMED

local standalone = {}

-- The runtime, from the first call on after it was loaded.
local task

function standalone.current()
	local loaded = package.loaded["silly.task"]
	if type(loaded) == "table" and loaded._standalone then
		task = loaded
		return task._inside()
	end
end

function standalone.park(waiter)
	task._park "WAIT" -- without looking again at what `current` has just seen
	return not waiter.done and RESUMED or nil
end

function standalone.wake(co)
	if task.status(co) == "WAIT" then
		task._enqueue(co)
	end
end

function standalone.start(_, pump)
	task._poll(pump)
end

return standalone
