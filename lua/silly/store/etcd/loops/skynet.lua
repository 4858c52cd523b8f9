-- The loop of skynet: callers wait for their own waiter; one coroutine of the service reads the core's descriptor.

local skynet = require "skynet"
local socket = require "skynet.socket"

local loop = {}

local watched = false

function loop.current()
	local co, main = coroutine.running()
	return co and not main and coroutine.isyieldable() and co or nil -- luacheck: ignore 143
end

function loop.park(waiter)
	skynet.wait(waiter)
end

function loop.wake(_, waiter)
	skynet.wakeup(waiter)
end

function loop.start(core, pump)
	if watched then
		return
	end
	watched = true
	local id = socket.bind(core:fd())
	skynet.fork(function()
		while socket.read(id) do
			pump()
		end
		watched = false
	end)
end

return loop
