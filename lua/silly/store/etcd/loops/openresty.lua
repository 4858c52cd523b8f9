-- The loop of OpenResty: each caller waits on a semaphore of its own; one light thread, in a timer, reads the core's
-- port. Where nginx does not let Lua wait a call is refused, but while the server starts it blocks.
--
-- The reader ends when nothing has been in flight for a while, so that a lua_State of `lua_code_cache off` can end.
-- A second light thread looks for that, and gives up callers that were killed. When the worker is to end, that thread
-- ends what may wait for ever, reads and watches that begin; later ones are refused, and the reader ends with the last
-- call.
--
-- nginx may fail to run a timer that it has taken, and tells nobody but its log. So a caller looks for its results
-- itself until there is a reader.

local core = require "silly.store.etcd.core"
local semaphore = require "ngx.semaphore"

local coroutines = require "silly.store.etcd.loops.coroutines"

local ngx = ngx -- luacheck: ignore 113

local openresty = {}

-- The phases in which no request waits for the process.
local STARTS = { init = true, init_worker = true } ---@type table<string, true?>

local REFUSED = setmetatable({
	exit_worker = "nothing can wait in the phase 'exit_worker'; call this in a timer: one that is pending runs when the "
		.. "worker is told to end",
}, { __index = function(_, phase)
	return ("nothing can wait in the phase '%s'; call this in rewrite, access or content, or where the request needs no "
		.. "answer in a timer: ngx.timer.at(0, ...)"):format(phase)
end })

local NESTED = "nothing can wait in a finalizer or inside a C function, such as table.sort or require; "
	.. "call this outside"

-- Seconds: for a caller that will be woken, for one that has to look itself, between two looks at the callers.
local LONG, SHORT, PERIOD = 1e6, 0.01, 1
-- The memory of a timer grows with what it reads, so another takes over after so many signals.
local SIGNALS = 1e5
-- Milliseconds until nginx is asked for a reader again.
local RETRY = 1000

local EXITING = "the worker is exiting; read with `get` what is needed until then"

local pump, give_up ---@type silly.store.etcd.pump, function
-- The callers that wait.
local parked = {}
-- Is there a reader, and when was nginx asked for one? Was it needed since the last look; shall it end?
local reading, asked, needed, ending = false, -RETRY, false, false
-- Seconds until the next look. Few at first, since a lua_State of `lua_code_cache off` lives for one request.
local period = PERIOD / 16

-- Times out at once where Lua can wait, and is refused elsewhere.
local function wait_in_vain()
	return semaphore.new():wait(0)
end

-- phase -> can Lua wait there?
local waits = {} ---@type table<string, boolean>

local function can_wait(phase)
	if waits[phase] == nil then
		local ok, _, problem = pcall(wait_in_vain)
		waits[phase] = ok and problem == "timeout"
	end
	return waits[phase]
end

function openresty.current()
	local phase = ngx.get_phase()
	if can_wait(phase) then
		if not coroutines.isyieldable() then
			return nil, NESTED
		end
		return (coroutine.running())
	elseif not STARTS[phase] then
		return nil, REFUSED[phase]
	end
end

local function connect()
	local port, nonce = core:port()
	local sock = ngx.socket.tcp()
	sock:settimeouts(1000, 1000, 2147483647)
	return port and sock:connect("127.0.0.1", port) and sock:send(nonce) and sock
end

-- Waits until there may be results.
local function signalled(sock)
	if sock then
		return sock:receiveany(64)
	end
	ngx.sleep(SHORT)
	return true
end

local function read()
	local sock = connect()
	-- Where there is no connection, another is tried soon.
	for _ = 1, sock and SIGNALS or PERIOD / SHORT do
		if not signalled(sock) then
			break
		end
		local inflight = pump()
		needed = needed or inflight > 0
		if inflight == 0 and (ngx.worker.exiting() or ending and not needed) then
			break
		end
	end
	if sock then
		sock:close()
	end
end

local function look()
	local exiting = ngx.worker.exiting()
	for waiter in pairs(parked) do
		local owner = waiter.owner
		if waiter.semaphore:count() >= 0 then
			-- Nobody waits for it: the light thread was killed, or its request aborted.
			parked[waiter] = nil
			give_up(waiter)
		elseif exiting and owner and owner.client then
			owner:close()
		elseif exiting and waiter.name == "watch" then
			waiter.semaphore:post(1)
		end
	end
	ending, needed = not needed, false
	if ending or exiting then
		core:poke()
	end
end

local function keep_looking()
	while true do
		ngx.sleep(period)
		period = math.min(2 * period, PERIOD)
		look()
	end
end

local function run()
	if reading then
		return
	end
	local looking = ngx.thread.spawn(keep_looking)
	reading, ending = true, false
	local ok, problem = pcall(read)
	ngx.thread.kill(looking)
	reading, asked = false, -RETRY
	-- A caller that still waits starts the next reader.
	for waiter in pairs(parked) do
		waiter.semaphore:post(1)
	end
	if not ok then
		error(problem, 0)
	end
end

function openresty.start(_, hand_out, forget)
	pump, give_up, needed = hand_out, forget, true
	if not reading and core:monotonic() >= asked + RETRY then
		asked = core:monotonic()
		ngx.timer.at(0, run)
	end
end

function openresty.exiting(pause)
	if not ngx.worker.exiting() then
		return nil
	elseif pause and openresty.current() then
		ngx.sleep(PERIOD)
	end
	return EXITING
end

function openresty.park(waiter)
	waiter.semaphore = waiter.semaphore or semaphore.new()
	parked[waiter] = true
	openresty.start(core, pump, give_up)
	if not waiter.semaphore:wait(reading and LONG or SHORT) then
		pump()
	end
	if waiter.name == "watch" and not waiter.done and ngx.worker.exiting() then
		parked[waiter] = nil
		return EXITING, "closed"
	end
end

function openresty.wake(_, waiter)
	parked[waiter] = nil
	if waiter.semaphore then
		waiter.semaphore:post(1)
	end
end

-- Where no light thread can be started a timer can, and outlives the request.
function openresty.go(f, ...)
	if openresty.current() then
		ngx.thread.spawn(f, ...)
		return
	end
	local started, problem = ngx.timer.at(0, function(_, ...) f(...) end, ...)
	if not started then
		error("go: no timer could be started: " .. problem, 3)
	end
end

return openresty
