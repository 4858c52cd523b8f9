-- Every call of the client once, a watch and a lease, blocking. In: the endpoint, a key prefix, how often.
-- Out: an error when an answer is not the expected one.

local etcd = require "silly.store.etcd"

local endpoint, prefix, rounds = ...

for _ = 1, tonumber(rounds) do
	local client = etcd.newclient { endpoints = { endpoint } }
	local lease = assert(client:grant { TTL = 60 })
	local key = prefix .. tostring(lease.ID)
	local stream = assert(client:watch { key = key })
	assert(client:put { key = key, value = "v", lease = lease.ID })
	local event = assert(stream:read(30)).events[1]
	assert(event.type == "PUT" and event.kv.key == key and event.kv.value == "v")
	assert(assert(client:get { key = key }).kvs[1].value == "v")
	assert(assert(client:keepalive { ID = lease.ID }).TTL == 60)
	assert(assert(client:ttl { ID = lease.ID, keys = true }).keys[1] == key)
	assert(#assert(client:leases()).leases > 0)
	assert(assert(client:txn {
		compare = { { target = "VALUE", key = key, result = "EQUAL", value = "v" } },
		success = { { put = { key = key, value = "w" } }, { get = { key = key } } },
	}).succeeded)
	assert(assert(client:delete { key = key, prev_kv = true }).prev_kvs[1].value == "w")
	assert(client:revoke { ID = lease.ID })
	local nothing, _, info = client:put { key = key }
	assert(nothing == nil and info.code == "invalid_argument")
	assert(stream:read(30))
	stream:close()
	client:close()
	assert(select(3, client:get { key = key }).code == "closed")
end
