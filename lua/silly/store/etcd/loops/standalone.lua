-- The loop of plain Lua: callers inside a task of the standalone `silly` runtime are parked there, all others block.
--
-- The runtime may be loaded later than this module, or never, so it is looked up and not required.

local coroutines = require "silly.store.etcd.loops.coroutines"

local standalone = {}

-- The runtime, once it was loaded.
local task ---@type silly.task

local function runtime()
	local loaded = package.loaded["silly.task"]
	if type(loaded) == "table" and loaded._standalone then
		task = loaded
		return task
	end
end

function standalone.current()
	return runtime() and task._inside()
end

---@async
function standalone.park(waiter)
	task._park("WAIT", waiter) -- without looking again at what `current` has just seen
	return not waiter.done and coroutines.RESUMED or nil
end

function standalone.wake(co, waiter)
	task._wake(co, waiter)
end

function standalone.block(core, take)
	core:wait()
	take()
	if task then
		task._strike()
	end
end

-- Without the runtime calls block, and so it runs to its end.
local alone = coroutines.starter(coroutines.waker(coroutines.report))

function standalone.go(f, ...)
	if runtime() then
		task.fork(coroutines.bind(f, ...))
	else
		alone(f, ...)
	end
end

function standalone.start(_, pump)
	task._poll(pump)
end

return standalone
