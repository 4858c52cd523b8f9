-- The loop of Tarantool: each caller's fiber waits for a condition of its own; one more fiber watches the core. Fibers
-- may be suspended anywhere, but that one only by what it watches: a finalizer that calls the client there blocks.

local fiber = require "fiber"
local socket = require "socket"

local tarantool = { go = fiber.create }

-- The fiber that watches, and its id.
local watcher, id ---@type table?, integer?

function tarantool.current()
	if fiber.id() ~= id then
		return fiber.self()
	end
end

function tarantool.park(waiter)
	waiter.condition = waiter.condition or fiber.cond()
	-- The collector may have run meanwhile, and a finalizer's call have let others hand this one its results.
	if not waiter.done then
		-- Some versions raise here that the fiber was cancelled.
		pcall(waiter.condition.wait, waiter.condition)
	end
	return not waiter.done and not pcall(fiber.testcancel) and "the fiber was cancelled" or nil
end

function tarantool.wake(_, waiter)
	if waiter.condition then
		waiter.condition:signal()
	end
end

function tarantool.start(core, pump)
	if watcher and watcher:status() ~= "dead" then
		return
	end
	watcher = fiber.create(function()
		fiber.name "silly.store.etcd"
		repeat
			-- Raises where somebody cancels this fiber.
			pcall(socket.iowait, core:fd(), "R")
			pump()
		until not pcall(fiber.testcancel)
		watcher = nil
		if pump() > 0 then
			tarantool.start(core, pump)
		end
	end)
	id = watcher:id()
end

return tarantool
