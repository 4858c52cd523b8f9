-- An answer of many pairs, and integers of 64 bits. In: endpoint, key prefix, how many. Out: an error unless all arrive
-- as they were written, in a coroutine with its small stack.

local etcd = require "silly.store.etcd"

local endpoint, prefix, count = ...
count = math.tointeger(count)

local client = etcd.newclient { endpoints = { endpoint }, timeout = 60 }

for first = 1, count, 100 do
	local puts = {}
	for i = first, first + 99 do
		puts[#puts + 1] = { put = { key = ("%s%06d"):format(prefix, i), value = tostring(i) } }
	end
	assert(client:txn { success = puts })
end

local function check()
	local answer = assert(client:get { key = prefix, prefix = true })
	assert(answer.count == count and #answer.kvs == count)
	for i, kv in ipairs(answer.kvs) do
		assert(kv.key == ("%s%06d"):format(prefix, i) and kv.value == tostring(i))
	end
end

coroutine.wrap(check)()
assert(client:delete { key = prefix, prefix = true })

for _, id in ipairs { math.maxinteger, math.maxinteger - 1, 2 ^ 53 | 1, -1, math.mininteger } do
	local lease = assert(client:grant { ID = id, TTL = 60, keepalive = false })
	assert(math.type(lease.ID) == "integer" and lease.ID == id)
	assert(client:put { key = prefix, value = "", lease = id })
	assert(assert(client:get { key = prefix }).kvs[1].lease == id)
	assert(assert(client:ttl { ID = id, keys = true }).keys[1] == prefix)
	assert(client:revoke { ID = id })
end
