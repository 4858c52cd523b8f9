-- The loop of cqueues: each caller waits for a condition of its own. In every controller that has callers one
-- coroutine watches the core; it ends when nothing is in flight, so that the controller's loop can end too.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local coroutines = require "silly.store.etcd.loops.coroutines"

local loop = {}

-- Controllers in which the core is watched.
local watched = setmetatable({}, { __mode = "k" })

function loop.current()
	local controller = cqueues.running()
	if controller then
		return coroutines.able(controller)
	end
end

function loop.park(waiter)
	waiter.condition = waiter.condition or condition.new()
	-- The collector may have run meanwhile, and a finalizer's call have handed this one its results.
	if not waiter.done then
		waiter.condition:wait()
	end
	return coroutines.EARLY
end

function loop.wake(_, waiter)
	if waiter.condition then
		waiter.condition:signal()
	end
end

function loop.go(f, ...)
	local controller = cqueues.running() or error("go: no controller of cqueues runs here", 3)
	controller:wrap(f, ...)
end

function loop.start(core, pump)
	local controller = cqueues.running()
	if watched[controller] then
		return
	end
	local readable = { pollfd = core:fd(), events = "r" }
	controller:wrap(function()
		repeat
			cqueues.poll(readable)
		until pump() == 0
		watched[controller] = nil
		if next(watched) then
			core:poke() -- another controller's must end too
		end
	end)
	watched[controller] = true
end

return loop
