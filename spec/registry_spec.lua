-- client:register and client:discover: entries that are there until they are closed, and who reads them. In: the etcd
-- that all share, and etcds of the spec's own, which are stopped, paused and restored. Out: what a second client and
-- etcdctl see.

local silly = require "silly"
local task = require "silly.task"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30

local client, name

local function connect(node)
	return etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
end

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	name = server.prefix():gsub("/$", "")
end)

-- Reads until a status is as it should be.
local function await(entry, is)
	local status = assert(entry:status())
	while not is(status) do
		status = assert(entry:read(HANG))
	end
	return status
end

local function registered(status) return status.registered end
local function lost(times)
	return function(status) return status.registered and status.losses >= times end
end

-- What stands under a key.
local function found(key, by)
	return assert((by or client):get(key)).kvs[1]
end

describe("an entry", function()
	it("is what Go's resolvers read", function()
		local entry = assert(client:register { name = name, addr = "10.0.0.1:80", metadata = { weight = 3 } })
		assert.are.equal(name .. "/" .. entry.id, entry.key)
		assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", entry.id)
		local kv = found(entry.key)
		assert.are.equal('{"Addr":"10.0.0.1:80","Metadata":{"weight":3},"Op":0}', kv.value)
		assert.are.equal(entry.lease, kv.lease)
		assert.are.equal(entry.header.revision, kv.mod_revision)
		assert.are.equal(10, assert(client:ttl(kv.lease)).grantedTTL)
		assert.is_true(entry:held())
		local status = entry:status()
		assert.is_true(math.abs(os.time() - status.since) < 60)
		assert.are.same({ registered = true, taken = false, losses = 0, lease = entry.lease, since = status.since }, status)
		entry:close()
		assert.is_nil(found(entry.key))
		assert.are.equal(-1, assert(client:ttl(entry.lease)).TTL)
		assert.is_false(entry:held())
		assert.is_false(entry:status().registered)
		assert.is_false(assert(entry:read(HANG)).registered)
		assert.are.equal("closed", select(3, entry:read(HANG)).code)
		entry:close()
	end)

	it("may be a key and a value of any form", function()
		local entry = assert(client:register { key = name, value = "\0\xff", TTL = 60 })
		assert.is_nil(entry.id)
		assert.are.equal("\0\xff", found(name).value)
		assert(entry:update { value = "other" })
		assert.are.equal("other", found(name).value)
		local _, message = entry:update { addr = "x" }
		assert.matches("^registration.update: ", message)
		entry:close()
	end)

	it("is changed by an update, which waits until that is there", function()
		local entry = assert(client:register { name = name, addr = "a" })
		local header = assert(entry:update { metadata = { "x" } }).header
		local kv = found(entry.key)
		assert.are.equal('{"Addr":"a","Metadata":["x"],"Op":0}', kv.value)
		assert.are.equal(header.revision, kv.mod_revision)
		assert(entry:update { addr = "b" })
		assert.are.equal('{"Addr":"b","Metadata":["x"],"Op":0}', found(entry.key).value)
		local _, message, info = entry:update {}
		assert.are.same({ "invalid_argument" }, { info.code }, message)
		_, message = entry:update { adr = "x" }
		assert.are.equal("registration.update: unknown field 'adr' (did you mean 'addr'?)", message)
		entry:close()
		assert.are.equal("closed", select(3, entry:update { addr = "c" }).code)
	end)

	it("is put again when its key is deleted, at once, and again", function()
		local entry = assert(client:register { name = name, addr = "a" })
		for i = 1, 3 do
			assert.are.equal(0, (server.sh(("ETCDCTL_API=3 etcdctl --endpoints=%s del '%s'")
				:format(server.endpoint(), server.namespace .. entry.key))))
			local status = await(entry, lost(i))
			assert.are.equal(i, status.losses)
			assert.are.equal(entry.lease, found(entry.key).lease)
		end
		entry:close()
	end)

	it("is put again when its lease is revoked", function()
		local entry = assert(client:register { name = name, addr = "a" })
		assert.are.equal(0, (server.sh(("ETCDCTL_API=3 etcdctl --endpoints=%s lease revoke %x")
			:format(server.endpoint(), entry.lease))))
		local status = await(entry, function(status) return status.registered and status.lease ~= entry.lease end)
		assert.are.equal(status.lease, found(entry.key).lease)
		assert.is_true(entry:held())
		entry:close()
		assert.is_nil(found(entry.key))
	end)

	it("does not fight for a key that is somebody else's", function()
		local other = etcd.newclient { endpoints = { server.endpoint() } }
		local first = assert(other:register { name = name, addr = "first", id = "1" })
		local none, message, info = client:register { name = name, addr = "second", id = "1", wait = 0.2 }
		assert.is_nil(none)
		assert.are.same({ "register: already_exists: the key is somebody else's", "already_exists" }, { message, info.code })
		local second = assert(client:register { name = name, addr = "second", id = "1", wait = 0 })
		await(second, function(status) return status.taken end)
		assert.is_false(second:held())
		assert.matches('"first"', found(first.key).value)
		first:close()
		await(second, registered)
		assert.matches('"second"', found(first.key).value)
		-- Somebody takes it by force.
		assert(other:put { key = first.key, value = "mine" })
		local status = await(second, function(status) return status.taken end)
		assert.are.same({ 1, "already_exists: the key is somebody else's" }, { status.losses, status.message })
		assert(other:delete(first.key))
		await(second, registered)
		second:close()
		other:close()
	end)

	it("waits for the key of the process's former life, or takes it at once", function()
		local lease = assert(client:grant { TTL = 1, keepalive = false }).ID
		assert(client:put { key = name .. "/1", value = "old", lease = lease })
		local entry = assert(client:register { name = name, addr = "new", id = "1", wait = HANG })
		assert.matches('"new"', found(entry.key).value)
		entry:close()
		assert(client:put { key = name .. "/1", value = "old" })
		entry = assert(client:register { name = name, addr = "new", id = "1", replace = true })
		assert.matches('"new"', found(entry.key).value)
		-- Only at first.
		assert(client:put { key = name .. "/1", value = "theirs" })
		await(entry, function(status) return status.taken end)
		entry:close()
		assert.are.equal("theirs", found(name .. "/1").value)
		assert(client:delete(name .. "/1"))
	end)

	it("lives on though the program has forgotten it", function()
		local key = assert(client:register { name = name, addr = "a", TTL = 2 }).key
		collectgarbage()
		collectgarbage()
		os.execute "sleep 4"
		assert.is_truthy(found(key))
	end)

	it("is kept while Lua is busy for longer than its TTL", function()
		local entry = assert(client:register { name = name, addr = "a", TTL = 2 })
		local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
		local stream = assert(other:watch(entry.key))
		local finish = os.time() + 5
		while os.time() < finish do end -- luacheck: ignore
		assert.is_true(entry:held())
		assert.are.equal("timeout", select(3, stream:read(0)).code)
		assert.are.equal(0, entry:status().losses)
		entry:close()
	end)

	it("of a user who may not write it fails at once", function()
		local node = server.start()
		local root = etcd.newclient { endpoints = { node.endpoint } }
		assert(root.auth:useradd { name = "root", password = "r" })
		assert(root.auth:usergrant { user = "root", role = "root" })
		assert(root.auth:useradd { name = "u", password = "p" })
		assert(root.auth:enable())
		root:close()
		local user <close> = etcd.newclient { endpoints = { node.endpoint }, user = "u", password = "p" }
		local _, message, info = user:register { name = "x", addr = "a", wait = 3600 }
		assert.are.equal("permission_denied", info.code, message)
		node:kill()
	end)

	it("refuses a value that no server would take, and waits for none", function()
		local small <close> = etcd.newclient { endpoints = { server.endpoint() }, max_request = 1000 }
		local _, message, info = small:register { name = name, addr = ("x"):rep(2000) }
		assert.are.equal("resource_exhausted", info.code, message)
		local entry = assert(small:register { name = name, addr = "a" })
		_, message, info = entry:update { addr = ("x"):rep(2000) }
		assert.are.equal("resource_exhausted", info.code, message)
		assert.are.equal('{"Addr":"a","Metadata":null,"Op":0}', found(entry.key).value)
		assert(entry:update { metadata = "x" })
		assert.are.equal('{"Addr":"a","Metadata":"x","Op":0}', found(entry.key).value)
		entry:close()
	end)

	it("keeps the value that it had where a server refuses another", function()
		local node = server.start { flags = { "--max-request-bytes=4000" } }
		local own <close> = connect(node)
		local entry = assert(own:register { key = "k", value = "good", TTL = 60 })
		local _, message, info = entry:update { value = ("x"):rep(5000), wait = HANG }
		assert.are.equal("invalid_argument", info.code, message)
		assert.are.equal(0, (server.sh(("ETCDCTL_API=3 etcdctl --endpoints=%s lease revoke %x")
			:format(node.endpoint, entry.lease))))
		await(entry, function(status) return status.registered and status.lease ~= entry.lease end)
		assert.are.equal("good", found("k", own).value)
		assert(entry:update { value = "better" })
		assert.are.equal("better", found("k", own).value)
		node:kill()
	end)

	it("says what an update that does not wait has done", function()
		local entry = assert(client:register { name = name, addr = "a" })
		-- It may be there already.
		local before = entry.header.revision
		local header = assert(entry:update { addr = "b", wait = 0 }).header
		assert.is_true(header == nil or header.revision > before)
		assert(entry:update { metadata = 1 })
		assert.are.equal('{"Addr":"b","Metadata":1,"Op":0}', found(entry.key).value)
		entry:close()
		assert.are.equal("closed", select(3, entry:update { addr = "c", wait = 0 }).code)
	end)
end)

describe("through an outage", function()
	local node, own

	before_each(function()
		node = server.start()
		own = connect(node)
	end)

	after_each(function()
		own:close()
		node:kill()
	end)

	it("of three TTLs 100 entries are back, each once", function()
		local entries = {}
		assert.is_true(silly.run(function()
			for i = 1, 100 do
				task.fork(function()
					entries[i] = assert(own:register { name = "fleet", addr = "a" .. i, id = tostring(i), TTL = 3, wait = HANG })
				end)
			end
		end))
		node:stop()
		os.execute "sleep 9"
		for _, entry in ipairs(entries) do
			assert.is_false(entry:held())
		end
		node:start()
		for _, entry in ipairs(entries) do
			await(entry, lost(1))
		end
		local second <close> = connect(node)
		local got = assert(second:get { key = "fleet/", prefix = true })
		assert.are.equal(100, got.count)
		local leases = {}
		for _, kv in ipairs(got.kvs) do
			leases[kv.key] = kv.lease
		end
		for _, entry in ipairs(entries) do
			assert.is_true(entry:held())
			assert.are.equal(entry:status().lease, leases[entry.key])
			assert.are.equal(1, entry:status().losses)
		end
	end)

	it("and the restoration of an older backup it is back", function()
		local backup = node:backup()
		local entry = assert(own:register { name = "svc", addr = "a", TTL = 5 })
		node:stop()
		node:restore(backup)
		node:start()
		await(entry, lost(1))
		local second <close> = connect(node)
		assert.matches('"a"', found(entry.key, second).value)
		entry:close()
		assert.is_nil(found(entry.key, second))
	end)

	it("it stays where that is shorter than its TTL", function()
		local entry = assert(own:register { name = "svc", addr = "a", TTL = 60 })
		node:stop()
		node:start()
		assert(entry:update { addr = "b", wait = HANG })
		assert.are.equal(0, entry:status().losses)
		local second <close> = connect(node)
		assert.are.same({ entry.lease, '{"Addr":"b","Metadata":null,"Op":0}' },
			{ found(entry.key, second).lease, found(entry.key, second).value })
	end)

	it("an entry is made as soon as etcd is there", function()
		node:stop()
		local none, message, info = own:register { name = "svc", addr = "a", wait = 0.2 }
		assert.is_nil(none)
		assert.are.equal("unavailable", info.code)
		assert.matches("^register: unavailable: not registered within %d+ms: ", message)
		local entry = assert(own:register { name = "svc", addr = "a", wait = 0 })
		assert.is_false(entry:status().registered)
		local _, late, why = entry:update { addr = "b", wait = 0.1 }
		assert.are.equal("maybe", why.applied, late)
		node:start()
		await(entry, registered)
		local second <close> = connect(node)
		assert.matches('"b"', found(entry.key, second).value)
	end)
end)

describe("discovery", function()
	it("lists who is registered, and no others", function()
		local a = assert(client:register { name = name, addr = "a:1", id = "1", metadata = { zone = "x" } })
		local value = '{"Op":0,"Addr":"go:1","Metadata":null}'
		assert.are.equal(0, (server.sh(("ETCDCTL_API=3 etcdctl --endpoints=%s put '%s/go' '%s'")
			:format(server.endpoint(), server.namespace .. name, value))))
		assert(client:put { key = name .. "/bad", value = "no json" })
		assert(client:put { key = name .. "/bad2", value = '{"Addr":5}' })
		assert(client:put { key = name .. "x/1", value = '{"Addr":"other"}' })
		local service <close> = assert(client:discover(name))
		local list = service:list()
		assert.are.equal(2, #list)
		assert.are.same({ "1", "a:1", "x" }, { list[1].id, list[1].addr, list[1].metadata.zone })
		assert.are.same({ "go", "go:1" }, { list[2].id, list[2].addr, list[2].metadata })
		assert.are.equal(a.key, list[1].kv.key)
		assert.are.equal(list, service:list())
		local status = service:status()
		assert.are.same({ "ready", 2, 2 }, { status.state, status.entries, status.invalid })
		local first = list[1]
		local changes <close> = assert(service:changes())
		assert(client:put { key = name .. "/z", value = '{"Addr":"z:1"}' })
		local change = assert(changes:read(HANG))
		assert.are.same({ type = "PUT", id = "z", addr = "z:1" }, change)
		assert.are.equal(3, #service:list())
		assert.are.equal(first, service:list()[1])
		a:close()
		assert.are.same({ type = "DELETE", id = "1", addr = "a:1", metadata = { zone = "x" } }, assert(changes:read(HANG)))
		-- One whose value is none any more has gone.
		assert(client:put { key = name .. "/z", value = "oops" })
		assert.are.same({ type = "DELETE", id = "z", addr = "z:1" }, assert(changes:read(HANG)))
		assert(client:put { key = name .. "/z", value = "again" })
		assert.are.equal("timeout", select(3, changes:read(0.1)).code)
		assert(client:delete { key = name, prefix = true })
		assert.are.equal("go", assert(changes:read(HANG)).id)
	end)

	it("picks at random, in turn, or by a key", function()
		local service <close> = assert(client:discover(name))
		local none, message, info = service:pick()
		assert.is_nil(none)
		assert.are.same({ "discovery.pick: unavailable: nobody is registered as '" .. name .. "'", "unavailable" },
			{ message, info.code })
		assert.are.equal("unavailable", select(3, service:pick "roundrobin").code)
		assert.are.equal("unavailable", select(3, service:pick { key = "x" }).code)
		local changes <close> = assert(service:changes())
		local ops = {}
		for i = 1, 10 do
			ops[i] = { put = { key = ("%s/%02d"):format(name, i), value = ('{"Addr":"a%d"}'):format(i) } }
		end
		assert(client:txn { success = ops })
		for _ = 1, 10 do
			assert(changes:read(HANG))
		end
		local seen = {}
		for i = 1, 20 do
			assert.are.equal(("%02d"):format((i - 1) % 10 + 1), service:pick("roundrobin").id)
		end
		for _ = 1, 1000 do
			local id = service:pick().id
			seen[id] = (seen[id] or 0) + 1
		end
		for i = 1, 10 do
			assert.is_true((seen[("%02d"):format(i)] or 0) > 20)
		end
		local owner, counts = {}, {}
		for i = 1, 1000 do
			owner[i] = service:pick({ key = "key" .. i }).id
			counts[owner[i]] = (counts[owner[i]] or 0) + 1
			assert.are.equal(owner[i], service:pick({ key = "key" .. i }).id)
		end
		for i = 1, 10 do
			assert.is_true((counts[("%02d"):format(i)] or 0) > 20)
		end
		assert(client:delete(name .. "/03"))
		assert.are.equal("DELETE", assert(changes:read(HANG)).type)
		for i = 1, 1000 do
			local now = service:pick({ key = "key" .. i }).id
			if owner[i] ~= "03" then
				assert.are.equal(owner[i], now)
			else
				assert.are_not.equal("03", now)
			end
		end
		assert.are.equal("invalid_argument", select(3, service:pick "best").code)
		assert.are.equal("invalid_argument", select(3, service:pick {}).code)
		assert(client:delete { key = name, prefix = true })
	end)

	it("knows nobody when it is closed", function()
		assert(client:put { key = name .. "/1", value = '{"Addr":"a"}' })
		local service = assert(client:discover(name))
		assert.are.equal(1, #service:list())
		service:close()
		assert.are.same({}, service:list())
		assert.are.same({ "discovery.pick: closed: the cache is closed", "closed" },
			{ select(2, service:pick()), select(3, service:pick()).code })
		assert.are.equal("closed", service:status().state)
		assert(client:delete(name .. "/1"))
	end)

	it("keeps the list through an outage, or gives it up, as it is told", function()
		local node = server.start()
		local own = connect(node)
		local entry = assert(own:register { name = "svc", addr = "a" })
		local kept = assert(own:discover { name = "svc" })
		local strict = assert(own:discover { name = "svc", stale = 0.2 })
		local patient = assert(own:discover { name = "svc", stale = false })
		assert.are.same({ 1, 1, 1 }, { #kept:list(), #strict:list(), #patient:list() })
		node:stop()
		for _ = 1, HANG * 20 do
			if #strict:list() == 0 then
				break
			end
			os.execute "sleep 0.05"
		end
		assert.are.same({ 1, 0, 1 }, { #kept:list(), #strict:list(), #patient:list() })
		assert.are.equal("unavailable", select(3, strict:pick()).code)
		assert.are.equal(entry.id, kept:pick().id)
		assert.are.equal("stale", kept:status().state)
		node:start()
		for _ = 1, HANG * 20 do
			if #strict:list() == 1 then
				break
			end
			os.execute "sleep 0.05"
		end
		assert.are.equal(1, #strict:list())
		own:close()
		node:kill()
	end)
end)
