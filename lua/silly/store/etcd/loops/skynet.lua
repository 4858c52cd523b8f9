-- The loop of skynet: callers wait for their own waiter; one coroutine of the service reads the core's port. Not its
-- descriptor: skynet would lower that on a thread of its own, unseen by a call that blocks.

local coroutines = require "silly.store.etcd.loops.coroutines"
local skynet = require "skynet"
local socket = require "skynet.socket"

local loop = { current = coroutines.current, go = skynet.fork }

-- Hundredths of a second without a call, after which the connection is closed until the next one.
local IDLE = 100

-- The coroutine that reads, while there is one. Was there a call since the timer was set; is it set?
local watcher, used, timing

function loop.park(waiter)
	skynet.wait(waiter)
	return coroutines.EARLY
end

function loop.wake(_, waiter)
	skynet.wakeup(waiter)
end

-- Reads signals until nothing was in flight for a while, or the connection is lost.
local function read(id, core, pump)
	while socket.read(id) do
		if pump() == 0 and not timing then
			if not used then
				return
			end
			used, timing = false, true
			skynet.timeout(IDLE, function()
				timing = false
				core:poke()
			end)
		end
	end
end

local function watch(core, pump)
	while true do
		local port, nonce = core:port()
		local id = port and socket.open("127.0.0.1", port)
		if id then
			socket.write(id, nonce)
			read(id, core, pump)
			socket.close(id)
		end
		if pump() == 0 then
			break
		end
		skynet.sleep(1) -- not too fast where no connection lasts
	end
	watcher = nil
end

function loop.start(core, pump)
	used = true
	if not watcher or coroutine.status(watcher) == "dead" then
		watcher = skynet.fork(watch, core, pump)
	end
end

return loop
