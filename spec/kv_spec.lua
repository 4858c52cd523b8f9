-- client:put, get, delete and compact: every parameter and every field of the answers, against a real etcd.
-- In: the shared server, below a fresh prefix for each spec; and a node of this file's own where a spec needs the
-- whole store, its history or its silence. Out: one spec per parameter and per field, named after it.
-- C and a number before a spec's name is the goal of the project that it proves.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local silly = require "silly"
local time = require "silly.time"

local client, own, node, prefix

lazy_setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
	node = server.start()
	own = etcd.newclient { endpoints = { node.endpoint } }
end)

lazy_teardown(function()
	client:close()
	own:close()
	node:kill()
end)

before_each(function()
	prefix = server.prefix()
end)

-- Calls a method with `key` below the prefix of the spec; the answer must be there.
local function call(method, key, req)
	req = req or {}
	req.key = prefix .. key
	return assert(client[method](client, req))
end

local function put(key, value, req)
	req = req or {}
	req.value = value
	return call("put", key, req)
end

local function get(key)
	return call("get", key).kvs[1]
end

-- The keys of a list without the prefix of the spec, as one string.
local function names(kvs)
	local list = {}
	for i, kv in ipairs(kvs) do
		list[i] = kv.key:sub(1, #prefix) == prefix and kv.key:sub(#prefix + 1) or kv.key
	end
	return table.concat(list, " ")
end

local function lease()
	return assert(client:grant { TTL = 300, keepalive = false }).ID
end

-- The revisions of a fresh node are known, so its answers are known to the last field.
describe("answers:", function()
	local steps = {
		{ "put", { key = "a", value = "old", lease = 7 }, revision = 2, {} },
		{ "put", { key = "a", value = "new", prev_kv = true }, revision = 3, {
			["prev_kv.key"] = "a", ["prev_kv.value"] = "old", ["prev_kv.lease"] = 7, ["prev_kv.version"] = 1,
			["prev_kv.create_revision"] = 2, ["prev_kv.mod_revision"] = 2,
		} },
		{ "put", { key = "b", value = "", prev_kv = true }, revision = 4, {} },
		{ "get", { key = "a", range_end = "z", limit = 1 }, revision = 4, {
			["kvs.1.key"] = "a", ["kvs.1.value"] = "new", ["kvs.1.lease"] = 0, ["kvs.1.version"] = 2,
			["kvs.1.create_revision"] = 2, ["kvs.1.mod_revision"] = 3, more = true, count = 2,
		} },
		{ "get", { key = "none" }, revision = 4, { kvs = {}, more = false, count = 0 } },
		{ "delete", { key = "b", prev_kv = true }, revision = 5, {
			["prev_kvs.1.key"] = "b", ["prev_kvs.1.value"] = "", ["prev_kvs.1.lease"] = 0,
			["prev_kvs.1.version"] = 1, ["prev_kvs.1.create_revision"] = 4, ["prev_kvs.1.mod_revision"] = 4,
			deleted = 1,
		} },
		{ "delete", { key = "a" }, revision = 6, { deleted = 1, prev_kvs = {} } },
		{ "delete", { key = "none" }, revision = 6, { deleted = 0, prev_kvs = {} } },
		{ "compact", { revision = 3 }, revision = 6, {} },
	}

	-- { kvs = { { key = "a" } } } -> { ["kvs.1.key"] = "a" }
	local function flatten(value, path, into)
		if type(value) ~= "table" or next(value) == nil then
			into[path] = value
			return into
		end
		for k, v in pairs(value) do
			flatten(v, path == "" and k or path .. "." .. k, into)
		end
		return into
	end

	lazy_setup(function()
		assert(own:grant { TTL = 300, ID = 7, keepalive = false })
		for _, step in ipairs(steps) do
			step.answer = flatten(assert(own[step[1]](own, step[2])), "", {})
		end
	end)

	for i, step in ipairs(steps) do
		local name = ("%d. %s answers"):format(i, step[1])
		local expected = step[3]
		expected["header.revision"] = step.revision

		for _, field in ipairs { "header.cluster_id", "header.member_id", "header.raft_term" } do
			it(name .. " " .. field .. " as an integer, the same in every answer", function()
				assert.are.equal("integer", math.type(step.answer[field]))
				assert.are_not.equal(0, step.answer[field])
				assert.are.equal(steps[1].answer[field], step.answer[field])
			end)
		end

		for field, value in pairs(expected) do
			it(("%s %s = %s"):format(name, field, type(value) == "table" and "{}" or value), function()
				assert.are.same(value, step.answer[field])
				assert.are.equal(math.type(value), math.type(step.answer[field]))
			end)
		end

		it(name .. " with no other fields", function()
			for field in pairs(step.answer) do
				local id = field == "header.cluster_id" or field == "header.member_id" or field == "header.raft_term"
				assert.is_true(id or expected[field] ~= nil, field)
			end
		end)
	end
end)

describe("put:", function()
	local every = {}
	for byte = 0, 255 do
		every[#every + 1] = string.char(byte)
	end
	every = table.concat(every)

	for name, bytes in pairs {
		["every byte"] = every, ["zeros"] = "\0\0", ["0xff"] = "\xff\xff", ["no UTF-8"] = "\xc3\x28\xa0",
	} do
		it("C10: key and value of " .. name, function()
			put(bytes, bytes)
			local kv = get(bytes)
			assert.is_true(kv.key == prefix .. bytes)
			assert.is_true(kv.value == bytes)
		end)
	end

	it("C10: random bytes and integers come back as they were", function()
		local seed = os.time()
		math.randomseed(seed)
		local function random(from, to)
			local bytes = {}
			for i = 1, math.random(from, to) do
				bytes[i] = string.char(math.random(0, 255))
			end
			return table.concat(bytes)
		end
		local ids = { math.maxinteger, math.mininteger, 2 ^ 53 | 0, (2 ^ 53 | 0) + 1, -1 }
		for i = 1, 200 do
			local key, value, id = random(1, 40), random(0, 3000), ids[i] or math.random(0)
			assert(client:revoke { ID = assert(client:grant { TTL = 300, ID = id, keepalive = false }).ID })
			assert(client:grant { TTL = 300, ID = id, keepalive = false })
			put(key, value, { lease = id })
			local kv = get(key)
			assert.is_true(kv.key == prefix .. key and kv.value == value, "seed " .. seed)
			assert.are.equal(id, kv.lease)
			assert.are.equal("integer", math.type(kv.lease))
			assert.are.same({ key }, { names(call("delete", key, { prev_kv = true }).prev_kvs) })
			assert(client:revoke { ID = id })
		end
	end)

	it("value = \"\" is stored", function()
		put("a", "x")
		put("a", "")
		assert.are.equal("", get("a").value)
	end)

	it("C10: value of 1.4 MiB is stored, and answers with several of them are read", function()
		local value = every:rep(5734)
		for i = 1, 4 do
			put("big" .. i, value)
		end
		local kvs = call("get", "", { prefix = true }).kvs
		assert.are.equal("big1 big2 big3 big4", names(kvs))
		for _, kv in ipairs(kvs) do
			assert.is_true(kv.value == value)
		end
		assert.is_true(put("big1", "", { prev_kv = true }).prev_kv.value == value)
	end)

	it("lease = id: the key lives as long as the lease", function()
		local id = lease()
		put("a", "x", { lease = id })
		assert.are.equal(id, get("a").lease)
		assert(client:revoke { ID = id })
		assert.is_nil(get("a"))
	end)

	it("lease = 0 takes the key off its lease, like no lease", function()
		local id = lease()
		for _, none in ipairs { { lease = 0 }, {} } do
			put("a", "x", { lease = id })
			put("a", "x", none)
			assert.are.equal(0, get("a").lease)
		end
	end)

	it("prev_kv = true answers the pair before, false and nil do not", function()
		put("a", "1")
		assert.are.equal("1", put("a", "2", { prev_kv = true }).prev_kv.value)
		assert.is_nil(put("a", "3", { prev_kv = false }).prev_kv)
		assert.is_nil(put("a", "4").prev_kv)
	end)

	it("ignore_value = true keeps the value and needs none", function()
		local id = lease()
		put("a", "kept")
		put("a", nil, { ignore_value = true, lease = id })
		local kv = get("a")
		assert.are.same({ "kept", 2, id }, { kv.value, kv.version, kv.lease })
	end)

	it("ignore_lease = true keeps the lease", function()
		local id = lease()
		put("a", "1", { lease = id })
		put("a", "2", { ignore_lease = true })
		local kv = get("a")
		assert.are.same({ "2", id }, { kv.value, kv.lease })
	end)
end)

describe("get:", function()
	before_each(function()
		for _, key in ipairs { "a", "a/1", "a/2", "b" } do
			put(key, "value of " .. key)
		end
	end)

	for name, case in pairs {
		["key alone is that key"] = { {}, "a" },
		["prefix = true is every key that starts with it"] = { { prefix = true }, "a a/1 a/2" },
		["prefix = false is the key alone"] = { { prefix = false }, "a" },
		["fromkey = false is the key alone"] = { { fromkey = false }, "a" },
		["limit = 0 is no limit"] = { { prefix = true, limit = 0 }, "a a/1 a/2" },
		["limit above the count is no limit"] = { { prefix = true, limit = 9 }, "a a/1 a/2" },
		["revision = 0 is the newest"] = { { prefix = true, revision = 0 }, "a a/1 a/2" },
		["serializable = true reads"] = { { prefix = true, serializable = true }, "a a/1 a/2" },
		["serializable = false reads"] = { { prefix = true, serializable = false }, "a a/1 a/2" },
	} do
		it(name, function()
			local answer = call("get", "a", case[1])
			assert.are.same({ case[2], false }, { names(answer.kvs), answer.more })
		end)
	end

	it("fromkey = true is every key from it on", function()
		local kvs = call("get", "a/1", { fromkey = true, limit = 3 }).kvs
		assert.are.equal("a/1 a/2 b", names(kvs))
	end)

	it("range_end is the first key that is not meant", function()
		assert.are.equal("a a/1", names(call("get", "a", { range_end = prefix .. "a/2" }).kvs))
		assert.are.equal("a", names(call("get", "a", { range_end = "" }).kvs))
		assert.are.equal("", names(call("get", "b", { range_end = prefix .. "a" }).kvs))
	end)

	it("C10: prefix ends before the next prefix when its last byte is 0xff", function()
		put("x\xff", "")
		put("x\xff\xff", "")
		put("y", "")
		assert.are.equal("x\xff x\xff\xff", names(call("get", "x\xff", { prefix = true }).kvs))
	end)

	it("limit = 2 answers two keys, more = true and the whole count", function()
		local answer = call("get", "a", { prefix = true, limit = 2 })
		assert.are.same({ "a a/1", true, 3 }, { names(answer.kvs), answer.more, answer.count })
	end)

	it("revision = n reads the store as it was", function()
		local revision = get("a").mod_revision
		put("a", "newer")
		local answer = call("get", "a", { prefix = true, revision = revision })
		assert.are.same({ "a", "value of a" }, { names(answer.kvs), answer.kvs[1].value })
	end)

	it("keys_only = true leaves the values empty, false does not", function()
		local kvs = call("get", "a", { prefix = true, keys_only = true }).kvs
		assert.are.same({ "a a/1 a/2", "", 1 }, { names(kvs), kvs[2].value, kvs[2].version })
		assert.are.equal("value of a", call("get", "a", { keys_only = false }).kvs[1].value)
	end)

	it("count_only = true answers the count alone, false the keys too", function()
		local answer = call("get", "a", { prefix = true, count_only = true })
		assert.are.same({ {}, 3, false }, { answer.kvs, answer.count, answer.more })
		assert.are.equal(1, #call("get", "a", { count_only = false }).kvs)
	end)

	for field, case in pairs {
		min_create_revision = { "create_revision", "a/1", "a/1 a/2" },
		max_create_revision = { "create_revision", "a/1", "a a/1" },
		min_mod_revision = { "mod_revision", "a/2", "a a/2" },
		max_mod_revision = { "mod_revision", "a/2", "a/1 a/2" },
	} do
		it(field .. " keeps the keys from or up to that revision, 0 keeps all", function()
			put("a", "newer")
			local revision = get(case[2])[case[1]]
			assert.are.equal(case[3], names(call("get", "a", { prefix = true, [field] = revision }).kvs))
			assert.are.equal("a a/1 a/2", names(call("get", "a", { prefix = true, [field] = 0 }).kvs))
		end)
	end
end)

describe("get:", function()
	local orders = { KEY = "1 2 3 4", CREATE = "2 4 1 3", MOD = "3 2 4 1", VERSION = "3 4 1 2", VALUE = "4 1 2 3" }
	local values = { "b", "c", "d", "a" }

	before_each(function()
		for key in ("2 4 1 3 2 2 2 1 4 1"):gmatch("%d") do
			put(key, values[tonumber(key)])
		end
	end)

	for target, ascending in pairs(orders) do
		for order, expected in pairs { NONE = ascending, ASCEND = ascending, DESCEND = ascending:reverse() } do
			it(("sort_target = %s, sort_order = %s"):format(target, order), function()
				local req = { prefix = true, sort_target = target, sort_order = order }
				assert.are.equal(expected, names(call("get", "", req).kvs))
			end)
		end
	end

	it("sort_order alone sorts by key", function()
		assert.are.equal("4 3 2 1", names(call("get", "", { prefix = true, sort_order = "DESCEND" }).kvs))
	end)

	it("sort_order is applied before limit", function()
		local req = { prefix = true, sort_target = "MOD", sort_order = "DESCEND", limit = 1 }
		assert.are.equal("1", names(call("get", "", req).kvs))
	end)
end)

describe("delete:", function()
	before_each(function()
		for _, key in ipairs { "a", "a/1", "a/2", "b" } do
			put(key, "value of " .. key)
		end
	end)

	for name, case in pairs {
		["key alone deletes that key"] = { {}, 1, "a/1 a/2 b" },
		["prefix = true deletes every key that starts with it"] = { { prefix = true }, 3, "b" },
		["prefix = false deletes the key alone"] = { { prefix = false }, 1, "a/1 a/2 b" },
		["prev_kv = false answers no pairs"] = { { prev_kv = false }, 1, "a/1 a/2 b" },
	} do
		it(name, function()
			local answer = call("delete", "a", case[1])
			assert.are.same({ case[2], {} }, { answer.deleted, answer.prev_kvs })
			assert.are.equal(case[3], names(call("get", "", { prefix = true }).kvs))
		end)
	end

	it("range_end is the first key that stays", function()
		assert.are.equal(2, call("delete", "a", { range_end = prefix .. "a/2" }).deleted)
		assert.are.equal("a/2 b", names(call("get", "", { prefix = true }).kvs))
	end)

	it("prev_kv = true answers every deleted pair", function()
		local kvs = call("delete", "a", { prefix = true, prev_kv = true }).prev_kvs
		assert.are.equal("a a/1 a/2", names(kvs))
		assert.are.equal("value of a/2", kvs[3].value)
	end)
end)

-- In order: the last ones delete what the first ones read.
describe("the whole store:", function()
	lazy_setup(function()
		for _, key in ipairs { "\0", "a", "b", "\xfe\xff", "\xfe\xffz", "\xff", "\xff\xff", "\xff\xffz" } do
			assert(own:put { key = key, value = "" })
		end
	end)

	for _, case in ipairs {
		{ "get", 8, { key = "", prefix = true } },
		{ "get", 8, { key = "", fromkey = true } },
		{ "get", 8, { key = "\0", fromkey = true } },
		{ "get", 1, { key = "\0", prefix = true } },
		{ "get", 6, { key = "b", fromkey = true } },
		{ "get", 6, { key = "b", range_end = "\0" } },
		{ "get", 2, { key = "\xfe\xff", prefix = true } },
		{ "get", 3, { key = "\xff", prefix = true } },
		{ "get", 2, { key = "\xff\xff", prefix = true } },
		{ "delete", 2, { key = "\xff\xff", prefix = true } },
		{ "delete", 2, { key = "\xfe\xffz", fromkey = true } },
		{ "delete", 4, { key = "", prefix = true } },
		{ "get", 0, { key = "", prefix = true } },
	} do
		local method, count, req = table.unpack(case)
		local kind = req.prefix and "prefix = true" or req.fromkey and "fromkey = true" or "range_end = 0"
		it(("%s %q, %s: %d keys"):format(method, req.key, kind, count), function()
			local answer = assert(own[method](own, req))
			assert.are.equal(count, answer.count or answer.deleted)
		end)
	end
end)

describe("compact:", function()
	for name, options in pairs {
		["revision = n"] = {}, ["physical = false"] = { false }, ["physical = true"] = { true },
	} do
		it(name .. " ends the history before it", function()
			local revision = assert(own:put { key = "history", value = "1" }).header.revision
			assert(own:put { key = "history", value = "2" })
			assert(own:put { key = "history", value = "3" })
			assert(own:compact { revision = revision + 1, physical = options[1] })
			assert.are.equal("2", assert(own:get { key = "history", revision = revision + 1 }).kvs[1].value)
			local _, _, info = own:get { key = "history", revision = revision }
			assert.are.equal("compacted", info.code)
		end)
	end
end)

describe("the server's refusal", function()
	local large = ("x"):rep(1.5 * 1024 * 1024)
	for _, case in ipairs {
		{ "put", "empty key", { key = "", value = "x" }, "invalid_argument", "key is not provided" },
		{ "get", "empty key", { key = "" }, "invalid_argument", "key is not provided" },
		{ "delete", "empty key", { key = "" }, "invalid_argument", "key is not provided" },
		{ "put", "too large", { key = "a", value = large }, "invalid_argument", "request is too large" },
		{ "put", "ignore_value of no key", { key = "none", ignore_value = true }, "invalid_argument", "key not found" },
		{ "put", "ignore_value with a value", { key = "a", value = "x", ignore_value = true },
			"invalid_argument", "value is provided" },
		{ "put", "ignore_lease of no key", { key = "none", value = "", ignore_lease = true },
			"invalid_argument", "key not found" },
		{ "put", "ignore_lease with a lease", { key = "a", value = "x", lease = 1, ignore_lease = true },
			"invalid_argument", "lease is provided" },
		{ "put", "missing lease", { key = "a", value = "x", lease = 404 }, "not_found", "requested lease not found" },
		{ "get", "compacted revision", { key = "a", revision = 2 },
			"compacted", "mvcc: required revision has been compacted" },
		{ "get", "future revision", { key = "a", revision = 1 << 40 },
			"out_of_range", "mvcc: required revision is a future revision" },
		{ "compact", "compacted revision", { revision = 2 }, "compacted", "mvcc: required revision has been compacted" },
		{ "compact", "future revision", { revision = 1 << 40 },
			"out_of_range", "mvcc: required revision is a future revision" },
	} do
		local method, name, req, code, text = table.unpack(case)
		it(("C1: of %s: %s comes in etcd's words"):format(method, name), function()
			local answer, message, info = own[method](own, req)
			assert.is_nil(answer)
			assert.are.equal(("%s: %s: etcdserver: %s (%s)"):format(method, code, text, node.endpoint), message)
			assert.are.same({ code = code, applied = "no", endpoint = node.endpoint }, server.plain(info))
		end)
	end
end)

describe("a request that no server takes in", function()
	it("C10: is refused in gRPC's words", function()
		local large <close> = etcd.newclient { endpoints = { node.endpoint }, max_request = 4 << 20 }
		local answer, message, info = large:put { key = "a", value = ("x"):rep(3 * 1024 * 1024) }
		assert.is_nil(answer)
		assert.matches("^put: resource_exhausted: grpc: received message larger than max", message)
		assert.matches("^grpc: received message larger than max", info.server_message)
		assert.are.equal(1, info.attempts)
		assert.are.same({ code = "resource_exhausted", applied = "no", endpoint = node.endpoint }, server.plain(info))
	end)
end)

describe("per request,", function()
	it("C5: timeout is the deadline of an attempt", function()
		assert(own:get { key = "a" })
		node:pause()
		finally(function() node:resume() end)
		for _, case in ipairs { { "get", "no" }, { "put", "maybe" } } do
			local answer, message, info = own[case[1]](own, {
				key = "a", value = case[1] == "put" and "x" or nil, timeout = 0.05, retry = 0,
			})
			assert.is_nil(answer)
			assert.is_truthy(message:find("deadline_exceeded: no response within 0.05 s", 1, true), message)
			assert.are.same({ "deadline_exceeded", case[2] }, { info.code, info.applied })
		end
	end)

	-- With the client's own retry and retry_sleep the calls would end only because the client is closed.
	it("retry and retry_sleep replace the client's", function()
		local stubborn = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 1000000, retry_sleep = 1000000 }
		silly.run(function()
			local limit = time.after(10000, function() stubborn:close() end)
			for _, options in ipairs { { retry = 0 }, { retry = 2, retry_sleep = 1 }, { retry = 1, retry_sleep = 0 } } do
				options.key = "a"
				local _, _, info = stubborn:get(options)
				assert.are.equal("unavailable", info.code)
			end
			time.cancel(limit)
		end)
		stubborn:close()
	end)

	for method, req in pairs {
		put = { key = "options", value = "" }, get = { key = "options" }, delete = { key = "options" }, compact = {},
	} do
		it(method .. " takes timeout, retry, retry_sleep and retry_unknown", function()
			if method == "compact" then
				req.revision = assert(own:put { key = "a", value = "" }).header.revision
			end
			req.timeout, req.retry, req.retry_sleep, req.retry_unknown = 4.5, 1, 10, true
			assert(own[method](own, req))
		end)
	end
end)
