-- What locks and transactions of code cost: make bench BENCH=locks.
--
-- In: $ETCD_ENDPOINTS. Out: a table of locking, of hand-overs among those that wait, and of transactions. Times are CPU
-- of the whole process, all its threads; of the wall clock where that is said.

---@diagnostic disable: await-in-sync -- the main chunk is a task

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local waitgroup = require "silly.sync.waitgroup"

local endpoint = assert(os.getenv "ETCD_ENDPOINTS")
local client = etcd.newclient { endpoints = { endpoint }, timeout = 60 }

local function row(what, number, unit)
	print(("| %-52s | %10.2f | %s |"):format(what, number, unit))
end

-- What the server has counted since it started: unary calls, and responses and events that it has sent to watches.
local function counted()
	local pipe = assert(io.popen("curl -fsS http://" .. endpoint .. "/metrics"))
	local calls, responses, events = 0, 0, 0
	for line in pipe:lines() do
		local number = tonumber((line:match " (%S+)$"))
		if line:find '^grpc_server_handled_total.*grpc_type="unary"' then
			calls = calls + number
		elseif line:find '^grpc_server_msg_sent_total.*grpc_method="Watch"' then
			responses = responses + number
		elseif line:find "^etcd_debugging_mvcc_events_total" then
			events = events + number
		end
	end
	pipe:close()
	assert(calls > 0, "the server has no metrics")
	return { calls, responses, events }
end

-- CPU and wall clock of so many times.
local function measure(what, times, f)
	local cpu, wall = os.clock(), core:monotonic()
	for i = 1, times do
		f(i)
	end
	row(what, (os.clock() - cpu) / times * 1e6, "us")
	row(what .. ", wall clock", (core:monotonic() - wall) / times, "ms")
end

print(("| %-52s | %10s | |\n| --- | ---: | --- |"):format(_VERSION, ""))
measure("put, to compare", 500, function() assert(client:put { key = "bench/put", value = "" }) end)
measure("lock and unlock, with a lease of its own", 500, function()
	assert(assert(client:lock "bench/lock"):unlock())
end)
local session = assert(client:session())
measure("lock and unlock, on a session", 500, function()
	assert(assert(client:lock { name = "bench/lock", session = session }):unlock())
end)

local lock = assert(client:lock { name = "bench/held", session = session })
local began, READS = os.clock(), 2000000
for _ = 1, READS do
	lock:held()
end
row("held", (os.clock() - began) / READS * 1e9, "ns")
measure("a put under the lock", 500, function() assert(lock:put { key = "bench/put", value = "" }) end)

local WAITERS = 100
local all = waitgroup.new()
for _ = 1, WAITERS do
	all:fork(function()
		local held = assert(client:lock { name = "bench/held", session = session })
		held:unlock()
	end)
end
repeat until assert(client:get { key = "bench/held/", prefix = true, count_only = true }).count == WAITERS + 1
local before = counted()
local cpu, wall = os.clock(), core:monotonic()
assert(lock:unlock())
all:wait()
row("a hand-over, of 100 that wait", (os.clock() - cpu) / WAITERS * 1e6, "us")
row("a hand-over, of 100 that wait, wall clock", (core:monotonic() - wall) / WAITERS, "ms")
local after = counted()
for i, what in ipairs { "calls", "responses to watches", "events" } do
	row("a hand-over, of 100 that wait: " .. what, (after[i] - before[i]) / WAITERS, "")
end

assert(client:put { key = "bench/n", value = "0" })
measure("stm: read, write", 500, function()
	assert(client:stm(function(tx) tx:put("bench/n", tostring(tonumber(tx:get "bench/n") + 1)) end))
end)
measure("the same by get and txn", 500, function()
	local kv = assert(client:get "bench/n").kvs[1]
	assert(assert(client:txn {
		compare = { { key = "bench/n", mod_revision = kv.mod_revision } },
		success = { { put = { key = "bench/n", value = tostring(tonumber(kv.value) + 1) } } },
	}).succeeded)
end)
client:close()
