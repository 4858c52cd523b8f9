-- The loop of plain Lua: callers inside a task of the standalone `silly` runtime are parked there, all others block.

local coroutines = require "silly.store.etcd.loops.coroutines"

local standalone = {}

local runtime, EARLY, loaded = coroutines.runtime, coroutines.EARLY, package.loaded

-- The runtime, once it was loaded; what it calls, and what a caller does that is interrupted.
local task, pump, pending, give_up ---@type any, any, any, function

local function attach()
	if task and pump then
		task._poll(pump, pending)
	end
end

function standalone.current()
	if loaded["silly.task"] ~= task then
		task = runtime()
		if task then
			standalone.wake = task._ready
			attach()
		end
	end
	if task then
		return task._inside()
	end
end

---@async
function standalone.park(waiter)
	task._park("WAIT", waiter, give_up) -- without looking again at what `current` has just seen
	return EARLY
end

-- Nobody is to be woken before there is a runtime.
function standalone.wake() end

function standalone.block(core, take, taken)
	core:wait(nil, taken)
	take()
	if task then
		task._strike()
	end
end

-- Without the runtime calls block, and so it runs to its end.
local alone = coroutines.starter(coroutines.waker(coroutines.report))

function standalone.go(f, ...)
	local silly = runtime()
	if silly then
		silly.fork(coroutines.bind(f, ...))
	else
		alone(f, ...)
	end
end

-- Once, before there are callers: whatever is in flight, a run calls `pump`. Where this module was loaded again, as
-- busted does, with the first call.
function standalone.start(_, ...)
	pump, give_up, pending = ...
	attach()
	return "for good"
end

return standalone
