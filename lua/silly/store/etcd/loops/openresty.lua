-- The loop of OpenResty: each caller waits on a semaphore of its own; one light thread, in a timer, reads the core's
-- port. Where nginx does not let Lua wait the call blocks the worker.
--
-- The reader ends when nothing has been in flight for a while, so that a lua_State of `lua_code_cache off` can end.
-- At the end of the worker nginx runs the timer that would have looked for that early: reads that wait for what may
-- never come are closed then, as are later ones, and the reader ends with the last call.

local semaphore = require "ngx.semaphore"

local ngx = ngx -- luacheck: ignore 113
-- What nginx puts in the place of Lua's own `coroutine` may lack it; a call inside table.sort, say, fails then.
local isyieldable = coroutine.isyieldable or function() return true end -- luacheck: ignore 143

local openresty = {}

local YIELDABLE = {
	rewrite = true, access = true, content = true, timer = true, preread = true,
	ssl_cert = true, ssl_session_fetch = true, ssl_client_hello = true,
}

-- Seconds: for a caller that will be woken, for one that has to look itself, between two looks at the reader.
local LONG, SHORT, PERIOD = 1e6, 0.01, 1
-- The memory of a timer grows with what it reads, so another takes over after so many signals.
local SIGNALS = 1e5

local core, pump
-- The callers that wait.
local parked = {}
-- Is there a reader; was it needed since the last look; shall it end; is there a timer for the next look?
local reading, needed, ending, looking = false, false, false, false

function openresty.current()
	return YIELDABLE[ngx.get_phase()] and isyieldable() and coroutine.running() or nil
end

function openresty.park(waiter)
	if ngx.worker.exiting() and waiter.owner.client then
		waiter.owner:close()
	end
	waiter.semaphore = waiter.semaphore or semaphore.new()
	-- The collector may have run meanwhile, and a finalizer's call have handed this one its results.
	if waiter.done then
		return
	end
	parked[waiter] = true
	openresty.start(core, pump)
	if not waiter.semaphore:wait(reading and LONG or SHORT) then
		pump()
	end
end

function openresty.wake(_, waiter)
	parked[waiter] = nil
	if waiter.semaphore then
		waiter.semaphore:post(1)
	end
end

local function close_streams()
	local streams = {}
	for waiter in pairs(parked) do
		streams[#streams + 1] = waiter.owner.client and waiter.owner or nil
	end
	for _, stream in ipairs(streams) do
		stream:close()
	end
end

local function look(premature)
	looking = false
	if premature then
		close_streams()
	end
	ending, needed = not needed, false
	if ending or premature then
		core:poke()
	end
	looking = reading and ngx.timer.at(PERIOD, look) or false
end

local function connect()
	local port, nonce = core:port()
	local sock = ngx.socket.tcp()
	sock:settimeouts(1000, 1000, 2147483647)
	return port and sock:connect("127.0.0.1", port) and sock:send(nonce) and sock
end

local function read(sock)
	local signals = 0
	while signals < SIGNALS and sock:receiveany(64) do
		signals = signals + 1
		local inflight = pump()
		needed = needed or inflight > 0
		if inflight == 0 and (ngx.worker.exiting() or ending and not needed) then
			break
		end
	end
	sock:close()
end

local function run()
	looking = looking or ngx.timer.at(PERIOD, look) or false
	local sock = connect()
	if sock then
		read(sock)
	else
		ngx.sleep(SHORT)
		pump()
	end
	reading = false
	-- Whoever still waits starts the next reader.
	for waiter in pairs(parked) do
		waiter.semaphore:post(1)
	end
end

function openresty.start(c, p)
	core, pump, needed = c, p, true
	if not reading then
		ending = false
		reading = ngx.timer.at(0, run) or false
	end
end

return openresty
