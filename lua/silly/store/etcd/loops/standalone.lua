-- The loop of plain Lua: callers inside a task of the standalone `silly` runtime are parked there, all others block.
--
-- The runtime may be loaded later than this module, or never, so it is looked up and not required.

local standalone = {}

local function runtime()
	local task = package.loaded["silly.task"]
	return type(task) == "table" and task.standalone and task or nil
end

function standalone.current()
	local task = runtime()
	return task and task.inside()
end

function standalone.park()
	runtime().park "WAIT" -- without looking again at what `current` has just seen
end

function standalone.wake(co)
	local task = runtime()
	if task.status(co) == "WAIT" then
		task.enqueue(co)
	end
end

function standalone.start(_, pump)
	runtime().poll(pump)
end

return standalone
