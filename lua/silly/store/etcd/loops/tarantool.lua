-- The loop of Tarantool: each caller's fiber waits for a condition of its own; one more fiber watches the core. Fibers
-- may be suspended anywhere.

local fiber = require "fiber"
local socket = require "socket"

local tarantool = {}

local watched = false

function tarantool.current()
	return fiber.self()
end

function tarantool.park(waiter)
	waiter.condition = waiter.condition or fiber.cond()
	-- The collector may have run meanwhile, and a finalizer's call have let others hand this one its results.
	if not waiter.done then
		waiter.condition:wait()
		if not pcall(fiber.testcancel) and not waiter.done then
			return "the fiber was cancelled"
		end
	end
end

function tarantool.wake(_, waiter)
	if waiter.condition then
		waiter.condition:signal()
	end
end

function tarantool.start(core, pump)
	if watched then
		return
	end
	fiber.create(function()
		watched = true
		fiber.name "silly.store.etcd"
		while true do
			socket.iowait(core:fd(), "R")
			pump()
		end
	end)
end

return tarantool
