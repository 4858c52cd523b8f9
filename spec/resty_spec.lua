-- The calls of silly.resty.etcd in nginx: each method with each of its options, and what it returns.
-- In: cases that run in a worker, see spec/support/resty/worker.lua. Out: their results. What a response looks like is
-- not written down here but asked of etcd's own HTTP gateway, which lua-resty-etcd talks to.

local base64 = require "silly.resty.etcd.base64"
local json = require "silly.encoding.json"
local server = require "spec.support.etcd"
local worker = require "spec.support.resty.worker"

local run, put, test = worker.run, worker.put, worker.test(it, pending)
local gateway, chunks = worker.gateway, worker.chunks

local b64 = base64.encode

-- A body without what differs from call to call: the numbers of revisions.
local function plain(body)
	if type(body) ~= "table" then
		return body
	end
	local copy = {}
	for name, value in pairs(body) do
		copy[name] = type(name) == "string" and name:find "revision$" and type(value) or plain(value)
	end
	return copy
end

-- The gateway's key-value pairs as lua-resty-etcd decodes them.
local function decoded(body)
	for _, kv in ipairs(body.kvs or {}) do
		kv.key, kv.value = base64.decode(kv.key), base64.decode(kv.value or "")
	end
	return body
end

describe("silly.resty.etcd #hosts", function()
	lazy_setup(worker.setup)
	lazy_teardown(worker.teardown)
	before_each(worker.clear)

	describe("a response is that of etcd's gateway", function()
		-- The keys s/a, written twice, with a lease, and s/b, s/c.
		local function fill()
			assert(worker.client:delete { key = "", prefix = true })
			worker.client:revoke(77)
			assert(worker.client:grant { ID = 77, TTL = 600, keepalive = false })
			put("s/a", "1")
			put("s/a", "2", { lease = 77 })
			put("s/b", "")
			put("s/c", "3")
		end

		before_each(fill)
		after_each(function() worker.client:revoke(77) end)

		-- Each is asked of the layer and of the gateway, of the same store.
		local READS = {
			{ "get", 'cli:get "s/a"', "kv/range", { key = b64 "s/a" } },
			{ "get of an empty value", 'cli:get "s/b"', "kv/range", { key = b64 "s/b" } },
			{ "get of no key", 'cli:get "s/none"', "kv/range", { key = b64 "s/none" } },
			{ "readdir", 'cli:readdir "s/"', "kv/range", { key = b64 "s/", range_end = b64 "s0" } },
			{ "readdir with a limit", 'cli:readdir("s/", { limit = 1 })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", limit = 1 } },
			{ "readdir in descending order", 'cli:readdir("s/", { sort_order = 2, sort_target = 3 })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", sort_order = 2, sort_target = 3 } },
			{ "readdir, ordered by names", 'cli:readdir("s/", { sort_order = "DESCEND", sort_target = "KEY" })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", sort_order = "DESCEND", sort_target = "KEY" } },
			{ "readdir of the keys", 'cli:readdir("s/", { keys_only = true })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", keys_only = true } },
			{ "readdir that counts", 'cli:readdir("s/", { count_only = true })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", count_only = true } },
			{ "timetolive", "cli:timetolive(77)", "kv/lease/timetolive", { ID = 77 } },
			{ "timetolive of no lease", "cli:timetolive(78, true)", "kv/lease/timetolive", { ID = 78 } },
			{ "leases", "cli:leases()", "lease/leases" },
			{ "keepalive", "cli:keepalive(77)", "lease/keepalive", { ID = 77 } },
			{ "keepalive of no lease", 'cli:keepalive("78")', "lease/keepalive", { ID = 78 } },
			{ "a revision of the future", 'cli:get("s/a", { revision = 99999999 })', "kv/range",
				{ key = b64 "s/a", revision = 99999999 } },
			{ "revoke of no lease", "cli:revoke(78)", "kv/lease/revoke", { ID = 78 } },
			{ "set with no lease", 'cli:set("s/a", "", { lease = 78 })', "kv/put", { key = b64 "s/a", lease = 78 } },
			{ "delete of an empty key", 'cli:delete ""', "kv/deleterange", { key = "" } },
			{ "rmdir of an empty key", 'cli:rmdir ""', "kv/deleterange", { key = "", range_end = "AA==" } },
			{ "a TTL that is too large", "cli:grant(1e13)", "lease/grant", { TTL = 10000000000000 } },
			{ "set with ignore_value of no key", 'cli:set("s/none", "", { ignore_value = true })', "kv/put",
				{ key = b64 "s/none", ignore_value = true } },
		}

		-- Like these, but each is called on a store that was just filled.
		local WRITES = {
			{ "set", 'cli:set("s/a", "x")', "kv/put", { key = b64 "s/a", value = b64 "x" } },
			{ "set with prev_kv", 'cli:set("s/a", "x", { prev_kv = true })', "kv/put",
				{ key = b64 "s/a", value = b64 "x", prev_kv = true } },
			{ "set that keeps the lease", 'cli:set("s/a", "x", { prev_kv = true, ignore_lease = true })', "kv/put",
				{ key = b64 "s/a", value = b64 "x", prev_kv = true, ignore_lease = true } },
			{ "delete", 'cli:delete "s/a"', "kv/deleterange", { key = b64 "s/a" } },
			{ "delete of no key", 'cli:delete "s/none"', "kv/deleterange", { key = b64 "s/none" } },
			{ "delete with prev_kv", 'cli:delete("s/a", { prev_kv = true })', "kv/deleterange",
				{ key = b64 "s/a", prev_kv = true } },
			{ "rmdir", 'cli:rmdir("s/", { prev_kv = true })', "kv/deleterange",
				{ key = b64 "s/", range_end = b64 "s0", prev_kv = true } },
			{ "setnx of a new key", 'cli:setnx("s/new", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/new", createRevision = 0 } },
				success = { { requestPut = { key = b64 "s/new", value = b64 "x" } } },
			} },
			{ "setnx of a key that is there", 'cli:setnx("s/a", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/a", createRevision = 0 } },
				success = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
			} },
			{ "setx of a key that is there", 'cli:setx("s/a", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/a", createRevision = 0 } },
				failure = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
			} },
			{ "grant", "cli:grant(5, 78)", "lease/grant", { TTL = 5, ID = 78 } },
			{ "grant of an id that is taken", "cli:grant(5, 77)", "lease/grant", { TTL = 5, ID = 77 } },
			{ "revoke", 'cli:revoke "77"', "kv/lease/revoke", { ID = 77 } },
			{ "txn", [[cli:txn(
				{
					{ key = "s/a", target = "VALUE", result = "EQUAL", value = "2" },
					{ key = "s/a", target = "VERSION", result = "GREATER", version = 1 },
					{ key = "s/none", target = 1, createRevision = 0 },
					{ key = "s/a", target = "LEASE", lease = 77 },
					{ key = "s/c", target = "MOD", result = "LESS", mod_revision = 1000000 },
				},
				{
					{ requestPut = { key = "s/a", value = "x", prev_kv = true, lease = 77 } },
					{ requestRange = { key = "cy8=", range_end = "czA=", sort_order = 2, limit = "1" } },
					{ request_delete_range = { key = "cy9i", prev_kv = true } },
					{ requestTxn = {
						compare = { { key = "cy9j", target = "VALUE", value = "Mw==" } },
						success = { { requestPut = { key = "cy9j", value = "eA==" } } },
					} },
				},
				{ { requestRange = { key = "cy9h" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VALUE", result = "EQUAL", value = b64 "2" } },
				success = {
					{ requestPut = { key = b64 "s/a", value = b64 "x", prev_kv = true, lease = 77 } },
					{ requestRange = { key = "cy8=", range_end = "czA=", sort_order = 2, limit = "1" } },
					{ requestDeleteRange = { key = "cy9i", prev_kv = true } },
					{ requestTxn = {
						compare = { { key = "cy9j", target = "VALUE", value = "Mw==" } },
						success = { { requestPut = { key = "cy9j", value = "eA==" } } },
					} },
				},
			} },
			{ "txn that fails", [[cli:txn(
				{ { key = "s/a", target = "VALUE", result = "NOT_EQUAL", value = "2" } },
				{ { requestPut = { key = "s/a", value = "x" } } },
				{ { requestRange = { key = "cy9h" } }, { requestDeleteRange = { key = "cy9u" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VALUE", result = "NOT_EQUAL", value = b64 "2" } },
				success = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
				failure = { { requestRange = { key = "cy9h" } }, { requestDeleteRange = { key = "cy9u" } } },
			} },
			{ "txn that writes a key twice", [[cli:txn(
				{ { key = "s/a", target = "VERSION", result = "GREATER", version = 0 } },
				{ { requestPut = { key = "s/a", value = "x" } }, { requestPut = { key = "s/a", value = "y" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VERSION", result = "GREATER", version = 0 } },
				success = {
					{ requestPut = { key = b64 "s/a", value = b64 "x" } },
					{ requestPut = { key = b64 "s/a", value = b64 "y" } },
				},
			} },
		}

		-- Compares a response with the gateway's status and body.
		local function same(response, status, body)
			if status == 412 then
				status = 400 -- what newer servers say of a failed precondition
			end
			assert.are.equal(status, response.status)
			if status ~= 200 then
				body.error = body.message -- newer servers have one of them only
				body.details = nil
			end
			assert.are.same(plain(decoded(body)), plain(response.body))
		end

		local function layer(case)
			return assert(run('local cli = new { serializer = "raw" } return ' .. case))
		end

		for _, case in ipairs(READS) do
			test(case[1], function()
				local response = layer(case[2])
				same(response, gateway(case[3], case[4]))
			end)
		end

		for _, case in ipairs(WRITES) do
			test(case[1], function()
				finally(function() worker.client:revoke(78) end)
				local response = layer(case[2])
				local stored = worker.client:get({ key = "", prefix = true })
				fill()
				worker.client:revoke(78)
				same(response, gateway(case[3], case[4]))
				-- They have also done the same.
				assert.are.same(plain(stored.kvs), plain(worker.client:get({ key = "", prefix = true }).kvs))
			end)
		end

		test("timetolive with keys, which are decoded", function()
			local response = layer "cli:timetolive(77, true)"
			local _, body = gateway("kv/lease/timetolive", { ID = 77, keys = true })
			assert.are.same({ b64 "s/a" }, body.keys)
			assert.are.same({ "s/a" }, response.body.keys)
		end)

		test("version, without that of the cluster", function()
			local response = layer "cli:version()"
			local _, output = server.sh(("curl -sS http://%s/version"):format(worker.node.endpoint))
			local body = assert(json.decode(output))
			body.etcdcluster = nil
			assert.are.same(body, response.body)
		end)

		test("watchdir", function()
			local first = put("s/a", "x")
			put("s/b", "")
			assert(worker.client:delete "s/a")
			local expected = chunks({ key = "cy8=", range_end = "czA=", start_revision = first, prev_kv = true,
				watch_id = 7 }, 2)
			local read = run([[
				local read = assert(new { serializer = "raw" }:watchdir("s/", {
					start_revision = arg.first, prev_kv = true, watch_id = 7,
				}))
				return { (assert(read())), (assert(read())) }
			]], { first = first })
			for _, event in ipairs(expected[2].result.events) do
				for _, kv in ipairs { event.kv, event.prev_kv } do
					kv.key, kv.value = base64.decode(kv.key), kv.value and base64.decode(kv.value)
				end
				event.prev_kv.value = event.prev_kv.value or "" -- decoded even where there is none
			end
			assert.are.same(plain(expected), plain(read))
			assert.are.same(expected[1], read[1])
		end)

		test("a watch whose revision was compacted", function()
			local first = put("s/a", "x")
			local last = put("s/a", "y")
			assert(worker.client:compact { revision = last })
			local expected = chunks({ key = b64 "s/a", start_revision = first }, 2)
			local read, none, ending = run([[
				local read = assert(new():watch("s/a", { start_revision = arg.first }))
				read()
				local last = read()
				return last, read()
			]], { first = first })
			assert.are.equal(tostring(last), expected[2].result.compact_revision)
			expected[2].result.cancel_reason = nil -- newer servers have one
			assert.are.same(expected[2], read)
			assert.is_nil(none)
			assert.are.equal("closed", ending)
		end)
	end)

	describe("a key", function()
		test("has the prefix in the store and in responses", function()
			local got, listed, event = run [[
				local cli = new { key_prefix = "p/" }
				local read = cli:watchdir ""
				cli:set("a", 1)
				cli:setnx("b", 2)
				cli:setx("b", 3)
				cli:txn({ { key = "a", target = "VALUE", value = 1 } }, { { requestPut = { key = "c", value = 4 } } })
				cli:delete "a"
				read()
				return cli:get("b").body.kvs[1].key, cli:readdir("c").body.kvs, read().result.events[1].kv.key
			]]
			assert.are.equal("p/b", got)
			assert.are.same({ "p/c", 4 }, { listed[1].key, listed[1].value })
			assert.are.equal("p/a", event)
			local stored = {}
			for _, kv in ipairs(worker.client:get({ key = "", prefix = true }).kvs) do
				stored[#stored + 1] = kv.key .. "=" .. kv.value
			end
			assert.are.same({ "p/b=3", "p/c=4" }, stored)
		end)

		for _, case in ipairs { 'get ""', 'readdir ""', 'set("", 1)' } do
			test("is not empty in " .. case, function()
				assert.are.same({ n = 2, nil, "key should not be empty" }, table.pack(run("return new():" .. case)))
			end)
		end

		for _, case in ipairs { "get(1)", "set({}, 1)", "readdir()", "delete()" } do
			test("is a string in " .. case, function()
				assert.are.same({ n = 2, nil, "key must be string" }, table.pack(run("return new():" .. case)))
			end)
		end

		test("ends with any byte", function()
			put("x\255", "1")
			put("x\255\255", "2")
			put("y", "3")
			assert.are.equal(2, run [[return #new():readdir("x\255").body.kvs]])
			assert.are.equal("2", run [[return new():rmdir("x\255").body.deleted]])
			assert.are.equal("y", worker.client:get({ key = "", prefix = true }).kvs[1].key)
		end)
	end)

	describe("a read", function()
		test("is of the revision that is asked for, and of the newest where that is none", function()
			local first = put("k", "1")
			put("k", "2")
			assert.are.same({ 1, 2, 2, 1 }, run([[
				local function value(res) return res.body.kvs[1].value end
				local cli = new()
				return {
					value(cli:get("k", { revision = arg.first })), value(cli:get("k", { revision = 0 })),
					value(cli:get("k", { revision = -1 })), value(cli:readdir("", { revision = arg.first }) or
						cli:readdir("k", { revision = tostring(arg.first) })),
				}
			]], { first = first }))
		end)
	end)

	describe("a value", function()
		test("is JSON by default, decoded in reads and watches", function()
			local values = run [[
				local read = new():watch "v"
				read()
				local seen = {}
				for i, value in ipairs { "text", 1.5, true, { a = { 1, 2 } }, "" } do
					new():set("v", value)
					seen[i] = { new():get("v").body.kvs[1].value, read().result.events[1].kv.value }
				end
				return seen
			]]
			for i, value in ipairs { "text", 1.5, true, { a = { 1, 2 } }, "" } do
				assert.are.same({ value, value }, values[i])
			end
			assert.are.equal('""', worker.client:get("v").kvs[1].value)
		end)

		test("that is no JSON is nil in reads", function()
			put("v", "init_dir")
			assert.are.same({ n = 2, 1, nil }, table.pack(run [[
				local kvs = new():get("v").body.kvs
				return #kvs, kvs[1].value
			]]))
		end)

		test("that JSON does not know fails with its message", function()
			local said = run [[
				local value, cli = { print }, new()
				return {
					(select(2, cli:set("v", value))),
					(select(2, cli:setnx("v", value))),
					(select(2, cli:txn({ { key = "v", version = 0 } }, { { requestPut = { key = "v", value = value } } }))),
				}
			]]
			assert.are.equal(0, worker.client:get("v").count)
			assert.are.same({ "failed to encode val: " .. said[1], "failed to encode value: " .. said[1] },
				{ said[2], said[3] })
		end)

		test("is the bytes with the serializer raw, and nothing but a string", function()
			local value, message, set = run [[
				local cli = new { serializer = "raw" }
				cli:set("v", "\0{")
				local nothing, message = cli:set("v", 1)
				assert(nothing == nil)
				return cli:get("v").body.kvs[1].value, message, select(2, cli:setnx("v", {}))
			]]
			assert.are.equal("\0{", value)
			assert.are.equal("unsupported type for number", message)
			assert.are.equal("failed to encode val: unsupported type for table", set)
		end)

		test("is what a serializer of the program makes of it; of one that is not there, JSON", function()
			assert.are.same({ "<x>", 7 }, run [[
				package.loaded["resty.etcd.serializers.angle"] = {
					serialize = function(value) return "<" .. value end,
					deserialize = function(text) return text .. ">" end,
				}
				local cli = new { serializer = "angle" }
				cli:set("v", "x")
				local got = cli:get("v").body.kvs[1].value
				local other = new { serializer = "none" }
				other:set("v", 7)
				return { got, other:get("v").body.kvs[1].value }
			]])
		end)

		test("is encoded by cjson where that is there", function()
			assert.are.equal("cjson", run [[
				package.loaded["cjson.safe"] = { encode = function() return "cjson" end, decode = function(text) return text end }
				local cli = new()
				package.loaded["cjson.safe"] = nil
				cli:set("v", 1)
				return cli:get("v").body.kvs[1].value
			]])
		end)
	end)

	describe("a transaction", function()
		test("compares something and does something", function()
			assert.are.same({ "compare couldn't be empty", "success and failure couldn't be empty at the same time" }, run [[
				local cli = new()
				return { select(2, cli:txn({}, { {} })), (select(2, cli:txn({ { key = "a" } }, {}))) }
			]])
		end)

		test("leaves what it is given as it is", function()
			assert.are.same({ key = "a", value = 1, target = "VALUE" }, run [[
				local rule = { key = "a", value = 1, target = "VALUE" }
				new { key_prefix = "p" }:txn({ rule }, { { requestPut = { key = "a", value = 1 } } })
				return rule
			]])
		end)
	end)

	describe("a lease", function()
		test("is not renewed by itself", function()
			local id = run [[return new():grant(1).body.ID]]
			assert.are.equal("string", type(id))
			server.await(function() return assert(worker.client:ttl { ID = id }).TTL < 0 or nil end)
		end)

		for case, message in pairs {
			["grant()"] = "lease grant command needs TTL argument", ['grant "5"'] = "ttl must be integer",
			["grant(1.5)"] = "ttl must be integer", ["revoke()"] = "lease revoke command needs ID argument",
			["keepalive()"] = "lease keepalive command needs ID argument",
			["timetolive()"] = "lease timetolive command needs ID argument",
		} do
			test("needs what it says: " .. case, function()
				assert.are.same({ n = 2, nil, message }, table.pack(run("return new():" .. case)))
			end)
		end
	end)
end)
