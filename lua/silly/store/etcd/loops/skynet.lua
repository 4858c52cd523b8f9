-- The loop of skynet: callers wait for their own waiter; one coroutine of the service reads the core's port. Not its
-- descriptor: skynet would lower that on a thread of its own, unseen by a call that blocks.

local coroutines = require "silly.store.etcd.loops.coroutines"
local skynet = require "skynet"
local socket = require "skynet.socket"

local loop = { current = coroutines.current }

local watched = false

function loop.park(waiter)
	skynet.wait(waiter)
	return not waiter.done and coroutines.RESUMED or nil
end

function loop.wake(_, waiter)
	skynet.wakeup(waiter)
end

local function watch(core, pump)
	repeat
		local port, nonce = core:port()
		local id = port and socket.open("127.0.0.1", port)
		if id then
			socket.write(id, nonce)
			while socket.read(id) do
				pump()
			end
			socket.close(id)
		end
		skynet.sleep(1) -- not too fast where no connection lasts
	until pump() == 0
	watched = false
end

function loop.start(core, pump)
	if not watched then
		skynet.fork(watch, core, pump)
		watched = true
	end
end

return loop
