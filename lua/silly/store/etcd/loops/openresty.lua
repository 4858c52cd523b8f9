-- The loop of OpenResty: each caller waits on a semaphore of its own; one light thread, in a timer, reads the core's
-- port. Where nginx does not let Lua wait the call blocks the worker.
--
-- The reader ends when nothing has been in flight for a while, so that a worker, or a lua_State of
-- `lua_code_cache off`, can end. A sleeping timer tells it of the worker's end: nginx runs it early then.

local semaphore = require "ngx.semaphore"

local ngx = ngx -- luacheck: ignore 113

local openresty = {}

local YIELDABLE = {
	rewrite = true, access = true, content = true, timer = true, preread = true,
	ssl_cert = true, ssl_session_fetch = true, ssl_client_hello = true,
}

-- Seconds: for a caller, until the reader looks whether it is needed, and between two looks for the end of the worker.
local LONG, IDLE, DAY = 1e6, 10, 86400

local reading, needed = false, false

function openresty.current()
	return YIELDABLE[ngx.get_phase()] and coroutine.running() or nil
end

function openresty.park(waiter)
	waiter.semaphore = waiter.semaphore or semaphore.new()
	waiter.semaphore:wait(LONG)
end

function openresty.wake(_, waiter)
	waiter.semaphore:post(1)
end

local function sentinel(core)
	local function ring(premature)
		core:poke()
		if not premature and reading then
			ngx.timer.at(DAY, ring)
		end
	end
	ngx.timer.at(DAY, ring)
end

-- Ends the reader once it has not been needed for a whole period.
local function idle(core)
	ngx.timer.at(IDLE, function(premature)
		if not premature and reading then
			if needed then
				needed = false
				idle(core)
			else
				core:poke()
			end
		end
	end)
end

local function read(core, pump)
	local port, nonce = core:port()
	local sock = ngx.socket.tcp()
	sock:settimeouts(1000, 1000, 2147483647)
	if port and sock:connect("127.0.0.1", port) and sock:send(nonce) then
		while sock:receiveany(64) do
			local inflight = pump()
			needed = needed or inflight > 0
			if ngx.worker.exiting() then
				break
			end
		end
	end
	sock:close()
	reading = false
end

function openresty.start(core, pump)
	needed = true
	if reading then
		return
	end
	reading = true
	ngx.timer.at(0, function(premature)
		if premature then
			reading = false
			return
		end
		sentinel(core)
		idle(core)
		read(core, pump)
	end)
end

return openresty
