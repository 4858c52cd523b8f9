-- A process that stands still for longer than its lease lives. In: endpoint, key prefix. Out: an error unless, once it
-- goes on, it hears of the loss before anything that it writes with the lease reaches a server.

local host = require "host"
local etcd = require "silly.store.etcd"

local endpoint, prefix = ...

local function connect()
	return etcd.newclient { endpoints = { endpoint } }
end

local client = connect()
local stream = assert(client:watch { key = prefix })
local pid = host.fork()

if pid == 0 then
	client = connect()
	local lease = assert(client:grant { TTL = 2 })
	local renewals = assert(client:keepalive(lease.ID))
	assert(renewals:read())
	local put = { key = prefix, value = "held", lease = lease.ID }
	assert(client:put(put))
	os.execute "kill -STOP $PPID"
	for _, answer in ipairs {
		{ client:put(put) }, { client:txn { success = { { put = put } } } }, { renewals:read() },
	} do
		assert(not answer[1] and answer[3].code == "lease_expired" and answer[3].applied == "no", answer[2])
	end
	return
end

local events = {}
repeat
	for _, event in ipairs(assert(stream:read(60)).events) do
		events[#events + 1] = event.type
	end
until #events == 2
assert(events[1] == "PUT" and events[2] == "DELETE")
os.execute("kill -CONT " .. pid)
assert(host.wait(pid, 60) == 0)
assert(assert(client:get { key = prefix }).count == 0)
