-- The loop of the silly framework: callers are tasks; one more task reads the core's port, for a message from another
-- thread would wait for silly's next tick.

local task = require "silly.task"
local tcp = require "silly.net.tcp"
local time = require "silly.time"

local RESUMED = require("silly.store.etcd.loops.coroutines").RESUMED

local isyieldable = coroutine.isyieldable -- luacheck: ignore 143

local silly = {}

local watched = false

function silly.current()
	local co = task.running()
	return co and coroutine.running() == co and isyieldable() and co or nil
end

function silly.park(waiter)
	task.wait()
	return not waiter.done and RESUMED or nil
end

function silly.wake(co)
	if task.status(co) == "WAIT" then
		task.wakeup(co)
	end
end

local function watch(core, pump)
	repeat
		local port, nonce = core:port()
		local conn = port and tcp.connect("127.0.0.1:" .. port)
		if conn then
			conn:write(nonce)
			while conn:read("\n") do
				pump()
			end
			conn:close()
		end
		time.sleep(10) -- not too fast where no connection lasts
	until pump() == 0
	watched = false
end

function silly.start(core, pump)
	if not watched then
		task.fork(function() watch(core, pump) end)
		watched = true
	end
end

return silly
