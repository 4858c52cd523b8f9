-- The contender in Lua, any version of it: this module, in coroutines of the standalone runtime, or blocking where
-- CALLERS is 0.
-- In: client.lua ENDPOINT OPERATION N CALLERS SECONDS, see README.md.
-- Out: `ready` when all is prepared; after a line on stdin the operation is carried out, then `done COUNT`; after one
-- more nothing happens for SECONDS, if there are any, then `rested`; the process ends with its stdin.

-- luacheck: std min

local endpoint, operation = arg[1], arg[2]
local n, callers, seconds = tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])

local SMALL, MANY_KEYS, LARGE_SIZE = 64, 1000, 1048576
local RENEW_TTL, IDLE_TTL = 6, 30
local LUMP = 100 -- so many events the server makes at a time, to as many waiting readers if there are so many
local MAKERS = 64 -- by so many callers leases, watches and clients are made

local function say(...)
	io.stdout:write(table.concat({ ... }, " "), "\n")
	io.stdout:flush()
	io.read()
end

local function ready() say "ready" end
local function done(count) say("done", count) end

if operation == "require" then
	ready()
	require "silly.store.etcd"
	done(1)
	os.exit(0)
end

local etcd = require "silly.store.etcd"
local silly = require "silly"
local task = require "silly.task"
local waitgroup = require "silly.sync.waitgroup"

local small = ("x"):rep(SMALL)

local function key(prefix, number) return ("%s%06d"):format(prefix, number) end
local function connect() return etcd.newclient { endpoints = { endpoint } } end

-- The end of an operation that leaves something behind, and the time in which it is only there.
local function made()
	done(n)
	silly.sleep(seconds * 1000)
	say "rested"
end

local call = {}

function call.put(client, name) assert(client:put { key = name, value = small }) end

function call.get(client) assert(#assert(client:get { key = "bench/one" }).kvs[1].value == SMALL) end

function call.range(client)
	assert(#assert(client:get { key = "bench/many/", prefix = true }).kvs == MANY_KEYS)
end

function call.large(client) assert(#assert(client:get { key = "bench/large" }).kvs[1].value == LARGE_SIZE) end

function call.txn(client, name)
	local response = assert(client:txn {
		compare = { { key = "bench/one", target = "VERSION", result = "GREATER", version = 0 } },
		success = {
			{ put = { key = name, value = small } },
			{ get = { key = "bench/one" } },
			{ delete = { key = "bench/none" } },
		},
	})
	assert(#response.responses == 3)
end

function call.stm(client, name)
	assert(client:stm(function(tx) tx:put(name, tostring((tonumber(tx:get(name)) or 0) + 1)) end))
end

-- Calls f(i) for each i in 1..count, in tasks that each take every tasks-th; without tasks one after another.
local function share(count, tasks, f)
	if tasks == 0 then
		for i = 1, count do
			f(i, 1)
		end
		return
	end
	local group = waitgroup.new()
	for number = 1, tasks do
		group:fork(function()
			for i = number, count, tasks do
				f(i, number)
			end
		end)
	end
	group:wait()
end

-- Calls `one` a tenth of the times as a warm-up, then so often as is measured.
local function warm_and_run(one)
	share(math.floor(n / 10), callers, one)
	ready()
	share(n, callers, one)
	done(n)
end

local function calls()
	local client, make = connect(), call[operation]
	local names = {}
	for caller = 1, math.max(callers, 1) do
		names[caller] = key("bench/put/", caller)
	end
	warm_and_run(function(_, caller) make(client, names[caller]) end)
end

local run = { put = calls, get = calls, range = calls, large = calls, txn = calls, stm = calls }

-- One name that all lock, each with a session.
function run.lock()
	local client, sessions = connect(), {}
	for caller = 1, callers do
		sessions[caller] = assert(client:session())
	end
	warm_and_run(function(_, caller)
		assert(assert(client:lock { name = "bench/lock", session = sessions[caller] }):unlock())
	end)
end

function run.first()
	ready()
	call.get(connect())
	done(1)
end

function run.replay()
	local client = connect()
	call.get(client)
	ready()
	local stream = assert(client:watch { key = "bench/replay/", prefix = true, revision = 1 })
	local count = 0
	while count < n do
		count = count + #assert(stream:read()).events
	end
	done(count)
end

-- One watch and one reader for each of `callers` keys, and one writer.
function run.fanout()
	local client = connect()
	local watches = {}
	for number = 1, callers do
		watches[number] = assert(client:watch { key = key("bench/fan/", number) })
	end
	ready()
	local group = waitgroup.new()
	for number = 1, callers do
		group:fork(function()
			for _ = number, n, callers do
				assert(#assert(watches[number]:read()).events == 1)
			end
		end)
	end
	for i = 0, n - 1 do
		assert(client:put { key = key("bench/fan/", i % callers + 1), value = small })
	end
	group:wait()
	done(n)
end

-- `callers` watches with a reader each, and events that the server makes: one for each as a warm-up.
function run.events()
	local client = connect()
	local count, expected, waiting = 0, 0, nil
	for number = 1, callers do
		local stream = assert(client:watch { key = key("bench/watched/", number) })
		task.fork(function()
			while true do
				local response = assert(stream:read())
				count = count + #response.events
				if count == expected and waiting then
					task.wakeup(waiting)
				end
			end
		end)
	end
	local function make(total)
		for first = 0, total - 1, LUMP do
			count, expected = 0, math.min(LUMP, total - first)
			assert(client:get { key = "bench/events", limit = expected })
			if count < expected then
				waiting = task.running()
				task.wait()
				waiting = nil
			end
		end
	end
	make(callers)
	ready()
	make(n)
	done(n)
end

local function grant(client, ttl)
	share(n, MAKERS, function() assert(client:grant { TTL = ttl }) end)
end

local function watch(client, prefix)
	share(n, MAKERS, function(number)
		local stream = assert(client:watch { key = key(prefix, number) })
		task.fork(function() stream:read() end)
	end)
end

function run.leases()
	local client = connect()
	call.get(client)
	ready()
	grant(client, RENEW_TTL)
	made()
	client:close()
end

-- `n` watches with a reader each.
function run.watches()
	local client = connect()
	call.get(client)
	ready()
	watch(client, "bench/watched/")
	made()
end

-- `n` clients, each of which has made a call.
function run.clients()
	local clients = {}
	ready()
	share(n, MAKERS, function(number)
		clients[number] = connect()
		call.get(clients[number])
	end)
	made()
end

-- `n` watches with a reader each and `n` leases, and nothing to do.
function run.idle()
	local client = connect()
	ready()
	grant(client, IDLE_TTL)
	watch(client, "bench/idle/")
	made()
end

function run.parked()
	local client = connect()
	call.get(client)
	ready()
	for _ = 1, n do
		task.fork(function() client:get { key = "bench/parked", timeout = 600 } end)
	end
	assert(client:get { key = "bench/all-parked", limit = n, timeout = 600 })
	done(n)
end

local function main()
	run[operation]()
	os.exit(0)
end

if callers == 0 then
	main()
else
	silly.run(main)
end
