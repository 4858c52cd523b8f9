-- client:namespace: keys that all lie under a prefix. In: the etcd that all share, with foreign keys before, behind and
-- at the edges of each namespace. Out: what is inside, and that nothing else is seen or changed; then the specs of
-- keys, transactions, watches, scans and caches once more, inside of one.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30

local client

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

-- A namespace, and the keys next to it that are none of it.
local EDGES = {
	["app/"] = { "app", "app/", "app.", "app0", "app0x", "b" },
	["n\xff"] = { "n", "n\xff", "n\xfe\xff", "o", "o\0" },
	["\xff\xff"] = { "\xff", "\xff\xff", "\xff\xfe\xff", "\xfe" },
	["\0"] = { "\0", "\1", "\1\0" },
}

for prefix, foreign in pairs(EDGES) do
	describe(("the namespace %q"):format(prefix), function()
		local inner, before

		before_each(function()
			inner = assert(client:namespace(prefix))
			for _, key in ipairs(foreign) do
				assert(client:put { key = key, value = "foreign" })
			end
			before = assert(client:get { key = "", prefix = true }).kvs
		end)

		after_each(function()
			inner:delete { key = "", prefix = true }
			assert.are.same(before, assert(client:get { key = "", prefix = true }).kvs)
			for _, key in ipairs(foreign) do
				assert(client:delete(key))
			end
		end)

		local function keys(response)
			local all = {}
			for i, kv in ipairs(response.kvs or response.prev_kvs) do
				all[i] = kv.key
			end
			return all
		end

		it("has its own keys and no others", function()
			for _, key in ipairs { "\0", "a", "b", "\xff", "\xff\xff" } do
				assert(inner:put { key = key, value = key })
				assert.are.equal(key, assert(client:get(prefix .. key)).kvs[1].value)
			end
			local all = { "\0", "a", "b", "\xff", "\xff\xff" }
			assert.are.same(all, keys(assert(inner:get { key = "", prefix = true })))
			assert.are.same(all, keys(assert(inner:get { key = "\0", fromkey = true })))
			assert.are.same(all, keys(assert(inner:get { key = "", fromkey = true })))
			assert.are.same({ "b", "\xff", "\xff\xff" }, keys(assert(inner:get { key = "b", fromkey = true })))
			assert.are.same({ "\xff", "\xff\xff" }, keys(assert(inner:get { key = "\xff", prefix = true })))
			assert.are.same({ "a" }, keys(assert(inner:get { key = "a", range_end = "b" })))
			assert.are.same({ "b" }, keys(assert(inner:get "b")))
			assert.are.equal(5, assert(inner:get { key = "", prefix = true, count_only = true }).count)
			assert.are.same({ "a" }, keys(assert(inner:delete { key = "a", prev_kv = true })))
			assert.are.equal("b", assert(inner:put { key = "b", value = "2", prev_kv = true }).prev_kv.key)
			local scan = assert(inner:scan { key = "", prefix = true, page = 1 })
			assert.are.equal(4, scan.count)
			local seen = {}
			for kv in scan:kvs() do
				seen[#seen + 1] = kv.key
			end
			assert.are.same({ "\0", "b", "\xff", "\xff\xff" }, seen)
			assert.are.equal(4, assert(inner:delete { key = "", prefix = true }).deleted)
		end)

		it("has transactions in transactions", function()
			assert(inner:put { key = "a", value = "1" })
			local done = assert(inner:txn {
				compare = {
					{ key = "a", value = "1" }, { key = "a", prefix = true, target = "VERSION", result = ">", version = 0 },
				},
				success = {
					{ put = { key = "b", value = "2", prev_kv = true } },
					{ get = { key = "a", fromkey = true } },
					{ txn = {
						compare = { { key = "b", version = 0 } },
						success = { { delete = { key = "a", range_end = "b", prev_kv = true } } },
					} },
				},
			})
			assert.is_true(done.succeeded)
			assert.are.same({ "a", "b" }, keys(done.responses[2].get))
			local inside = done.responses[3].txn
			assert.is_true(inside.succeeded)
			assert.are.same({ "a" }, keys(inside.responses[1].delete))
			assert.are.equal(2, assert(inner:increment { key = "n", initial = 1 }).value)
			assert.are.equal("n", assert(inner:swap { key = "n", mod_revision = 0, value = "x" }).kv.key)
		end)

		it("has watches, caches, leases and registrations", function()
			local stream <close> = assert(inner:watch { key = "", prefix = true, prev_kv = true })
			local copy <close> = assert(inner:cache { key = "", prefix = true })
			local lease = assert(client:grant { TTL = 60, keepalive = false }).ID
			assert(client:put { key = foreign[1], value = "foreign" })
			local revision = assert(inner:put { key = "a", value = "1", lease = lease }).header.revision
			local event = assert(stream:read(HANG)).events[1]
			assert.are.same({ "a", "1" }, { event.kv.key, event.kv.value })
			assert(copy:get { key = "a", min_revision = revision, wait = HANG })
			assert.are.equal("1", copy:value "a")
			assert.are.same({ "a" }, keys(assert(copy:get { key = "", prefix = true })))
			assert.are.same({ "a" }, keys(assert(copy:get { key = "", prefix = true, linearizable = true })))
			assert(client:put { key = "elsewhere", value = "", lease = lease })
			assert.are.same({ "a" }, assert(inner:ttl { ID = lease, keys = true }).keys)
			assert.are.equal(2, #assert(client:ttl { ID = lease, keys = true }).keys)
			assert(client:revoke(lease))
			event = assert(stream:read(HANG)).events[1]
			assert.are.same({ "DELETE", "a", "a" }, { event.type, event.kv.key, event.prev_kv.key })
			local entry = assert(inner:register { name = "svc", addr = "x", id = "1" })
			assert.are.equal("svc/1", entry.key)
			assert.is_truthy(client:get(prefix .. "svc/1").kvs[1])
			local service <close> = assert(inner:discover "svc")
			assert.are.equal("x", service:pick().addr)
			entry:close()
			-- They are counted and put back, since the foreign one was put again.
			before = assert(client:get { key = "", prefix = true }).kvs
		end)
	end)
end

describe("a namespace", function()
	it("nests, and is the same as that of newclient", function()
		local prefix = server.prefix()
		local outer = assert(client:namespace(prefix))
		local inner = assert(outer:namespace "x/")
		local own <close> = etcd.newclient { endpoints = { server.endpoint() }, namespace = prefix .. "x/" }
		assert(inner:put { key = "k", value = "1" })
		assert.are.equal("k", own:get("k").kvs[1].key)
		assert.are.equal("x/k", outer:get("x/k").kvs[1].key)
		assert.are.equal(prefix .. "x/k", client:get(prefix .. "x/k").kvs[1].key)
	end)

	it("has no empty key, and no empty prefix", function()
		local inner = assert(client:namespace(server.prefix()))
		for _, refused in ipairs {
			{ inner:get "" }, { inner:put { key = "", value = "" } }, { inner:delete "" }, { inner:watch "" },
			{ inner:get { key = "", range_end = "x" } }, { inner:txn { success = { { get = { key = "" } } } } },
			{ inner:txn { compare = { { key = "", version = 0 } } } }, { inner:scan "" },
		} do
			assert.is_nil(refused[1])
			assert.are.equal("invalid_argument", refused[3].code)
			assert.is_truthy(refused[2]:find("key is not provided", 1, true)
				or refused[2]:find("the key must not be empty in a namespace", 1, true), refused[2])
		end
		for _, prefix in ipairs { "", 5, false, {} } do
			local none, _, info = client:namespace(prefix)
			assert.is_nil(none)
			assert.are.equal("invalid_argument", info.code)
		end
	end)

	it("is closed alone, and with its client", function()
		local prefix = server.prefix()
		local own = etcd.newclient { endpoints = { server.endpoint() } }
		local inner = assert(own:namespace(prefix))
		local stream = assert(inner:watch { key = "", prefix = true })
		local entry = assert(inner:register { name = "svc", addr = "x" })
		inner:close()
		assert.are.same({ "get: closed: the namespace is closed", "closed" },
			{ select(2, inner:get "k"), select(3, inner:get "k").code })
		assert.are.equal("closed", select(3, inner:namespace "x").code)
		assert.matches("%(closed%)$", tostring(inner))
		assert(own:put { key = prefix .. "k", value = "1" })
		repeat
			local event = assert(stream:read(HANG)).events[1]
		until event.kv.key == "k"
		assert.is_true(entry:held())
		entry:close()
		local second = assert(own:namespace(prefix))
		own:close()
		assert.are.equal("closed", select(3, second:get "k").code)
	end)

	it("keeps its client, and is kept by it", function()
		local prefix = server.prefix()
		local inner = assert(etcd.newclient { endpoints = { server.endpoint() } }:namespace(prefix))
		collectgarbage()
		collectgarbage()
		assert(inner:put { key = "k", value = "1" })
		local own <close> = etcd.newclient { endpoints = { server.endpoint() } }
		local stream = assert(assert(own:namespace(prefix)):watch "k")
		collectgarbage()
		collectgarbage()
		assert(own:put { key = prefix .. "k", value = "2" })
		assert.are.equal("2", assert(stream:read(HANG)).events[1].kv.value)
	end)
end)

for _, name in ipairs { "kv", "txn", "update", "watch", "watch_end", "scan", "cache", "lock", "election", "stm" } do
	describe("inside of a namespace, " .. name .. "_spec:", function()
		local newclient = etcd.newclient

		setup(function()
			rawset(etcd, "newclient", function(conf)
				local inside = {}
				for field, value in pairs(conf) do
					inside[field] = value
				end
				inside.namespace = "inside/"
				return newclient(inside)
			end)
			server.namespace = "inside/"
		end)

		teardown(function()
			rawset(etcd, "newclient", newclient)
			server.namespace = ""
		end)

		assert(loadfile("spec/" .. name .. "_spec.lua", "t", _ENV))()
	end)
end
