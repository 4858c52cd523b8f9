-- The loop of the silly framework: callers are tasks; one more task reads the core's port, for a message from another
-- thread would wait for silly's next tick.

local task = require "silly.task"
local tcp = require "silly.net.tcp"
local time = require "silly.time"

local coroutines = require "silly.store.etcd.loops.coroutines"

local isyieldable = coroutine.isyieldable -- luacheck: ignore 143

local silly = {}

-- Milliseconds with nothing in flight, after which the connection is closed until the next call.
local IDLE = 200

-- The task that reads, while there is one.
local watcher ---@type thread?

function silly.current()
	local co = task.running()
	return co and coroutine.running() == co and isyieldable() and co or nil
end

---@async
function silly.park()
	task.wait()
	return coroutines.EARLY
end

function silly.wake(co)
	if task.status(co) == "WAIT" then
		task.wakeup(co)
	end
end

function silly.go(f, ...)
	task.fork(coroutines.bind(f, ...))
end

-- Reads signals until nothing was in flight for a while, or the connection is lost.
---@async
local function read(conn, pump)
	local inflight = 1
	repeat
		local signal = conn:read("\n", inflight == 0 and IDLE or nil)
		inflight = pump()
	until not signal and (inflight == 0 or not conn:isalive())
end

---@async
local function watch(core, pump)
	while true do
		local port, nonce = core:port()
		local conn = port and tcp.connect("127.0.0.1:" .. port)
		if conn then
			conn:write(nonce)
			read(conn, pump)
			conn:close()
		end
		if pump() == 0 then
			break
		end
		time.sleep(10) -- not too fast where no connection lasts
	end
	watcher = nil
end

function silly.start(core, pump)
	if not watcher or coroutine.status(watcher) == "dead" then
		watcher = task.fork(function() watch(core, pump) end)
	end
end

return silly
