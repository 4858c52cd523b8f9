-- client:txn: compares, operations, their answers, nesting and atomicity, against a real etcd.
-- In: the shared server, below a fresh prefix for each spec. Out: what the txn answered, and what is in the store.
-- C and a number before a spec's name is the goal of the project that it proves.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local silly = require "silly"
local task = require "silly.task"

local client, prefix

lazy_setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

lazy_teardown(function()
	client:close()
end)

before_each(function()
	prefix = server.prefix()
end)

local function put(key, value, lease)
	return assert(client:put { key = prefix .. key, value = value, lease = lease })
end

local function get(key)
	return assert(client:get { key = prefix .. key }).kvs[1]
end

local function value(key)
	local kv = get(key)
	return kv and kv.value
end

local function txn(req)
	return assert(client:txn(req))
end

-- Is the compare true?
local function holds(compare)
	compare.key = compare.key or prefix .. "a"
	return txn({ compare = { compare } }).succeeded
end

-- An operation that leaves a trace.
local function mark(key, text)
	return { put = { key = prefix .. key, value = text or "done" } }
end

local function equals(key, expected)
	return { key = prefix .. key, target = "VALUE", result = "EQUAL", value = expected }
end

local OPERANDS = {
	VERSION = "version", CREATE = "create_revision", MOD = "mod_revision", VALUE = "value", LEASE = "lease",
}

describe("compare:", function()
	-- What is true for an operand that is below, the same as, and above what the key has.
	local results = {
		EQUAL = { false, true, false }, NOT_EQUAL = { true, false, true },
		GREATER = { true, false, false }, LESS = { false, false, true },
	}

	for target, operand in pairs(OPERANDS) do
		for result, expected in pairs(results) do
			it(("target = %s, result = %s"):format(target, result), function()
				put("a", "l")
				put("a", "k", assert(client:grant { TTL = 300, keepalive = false }).ID)
				put("other", "z")
				put("a", "m", get("a").lease)
				local own = get("a")[operand]
				local around = target == "VALUE" and { "l", "m", "n" } or { own - 1, own, own + 1 }
				for i, given in ipairs(around) do
					local found = holds { target = target, result = result, [operand] = given }
					assert.are.equal(expected[i], found, "operand " .. given)
				end
			end)
		end
	end

	for target, missing in pairs { VERSION = 0, CREATE = 0, MOD = 0, LEASE = 0 } do
		it(("target = %s of a missing key is %d"):format(target, missing), function()
			assert.is_true(holds { target = target, result = "EQUAL", [OPERANDS[target]] = missing })
			assert.is_false(holds { target = target, result = "GREATER", [OPERANDS[target]] = missing })
		end)
	end

	it("target = VALUE of a missing key is not even \"\"", function()
		assert.is_false(holds { target = "VALUE", result = "EQUAL", value = "" })
		put("a", "")
		assert.is_true(holds { target = "VALUE", result = "EQUAL", value = "" })
	end)

	it("value may have every byte", function()
		put("a", "\0\xff\xc3\0")
		assert.is_true(holds { target = "VALUE", result = "EQUAL", value = "\0\xff\xc3\0" })
		assert.is_false(holds { target = "VALUE", result = "EQUAL", value = "\0\xff\xc3" })
	end)

	for name, range in pairs {
		["prefix = true"] = { prefix = true }, ["fromkey = true"] = { fromkey = true }, ["range_end"] = { range_end = "z" },
	} do
		it(name .. " holds when it holds for every key", function()
			for _, key in ipairs { "r", "r1", "r2" } do
				put(key, "same")
			end
			local function all(result, version)
				local compare = { key = prefix .. "r", target = "VERSION", result = result, version = version }
				for field, given in pairs(range) do
					compare[field] = field == "range_end" and prefix .. given or given
				end
				return holds(compare)
			end
			assert.is_true(all("GREATER", 0))
			assert.is_true(all("LESS", 1 << 40))
			put("r1", "other")
			assert.is_false(all("LESS", 2))
		end)
	end

	it("prefix = false and range_end = \"\" mean the key alone", function()
		put("a", "x")
		put("a1", "y")
		for _, range in ipairs { { prefix = false }, { fromkey = false }, { range_end = "" } } do
			range.target, range.result, range.value = "VALUE", "EQUAL", "x"
			assert.is_true(holds(range))
		end
	end)

	it("holds when every one of the list does", function()
		put("a", "1")
		put("b", "2")
		assert.is_true(txn({ compare = { equals("a", "1"), equals("b", "2") } }).succeeded)
		assert.is_false(txn({ compare = { equals("a", "1"), equals("b", "x") } }).succeeded)
		assert.is_false(txn({ compare = { equals("a", "x"), equals("b", "2") } }).succeeded)
		assert.is_true(txn({ compare = {} }).succeeded)
	end)
end)

describe("answers", function()
	it("an empty txn with every field", function()
		local answer = txn {}
		for _, field in ipairs { "cluster_id", "member_id", "revision", "raft_term" } do
			assert.are.equal("integer", math.type(answer.header[field]), field)
		end
		answer.header = nil
		assert.are.same({ succeeded = true, responses = {} }, answer)
	end)

	it("header.revision of the write, and not of a read", function()
		local written = txn({ success = { mark("a") } }).header.revision
		assert.are.equal(get("a").mod_revision, written)
		assert.are.equal(written, txn({ success = { { get = { key = prefix .. "a" } } } }).header.revision)
	end)

	-- Each operation, and what its call answers by itself, in the state before it.
	local revision
	local function kv(key, text)
		return {
			key = prefix .. key, value = text, version = 1, lease = 0,
			create_revision = revision, mod_revision = revision,
		}
	end
	for name, case in pairs {
		["put"] = { { put = { key = "a", value = "new" } }, function() return {} end },
		["put with prev_kv"] = { { put = { key = "a", value = "new", prev_kv = true } }, function()
			return { prev_kv = kv("a", "1") }
		end },
		["put with ignore_value and prev_kv"] = {
			{ put = { key = "b", ignore_value = true, ignore_lease = true, prev_kv = true } },
			function() return { prev_kv = kv("b", "2") } end,
		},
		["get"] = { { get = { key = "a" } }, function()
			return { kvs = { kv("a", "1") }, count = 1, more = false }
		end },
		["get of a range"] = {
			{ get = { key = "", prefix = true, sort_order = "DESCEND", sort_target = "KEY", limit = 1, keys_only = true } },
			function() return { kvs = { kv("b", "") }, count = 2, more = true } end,
		},
		["get of nothing"] = { { get = { key = "none" } }, function()
			return { kvs = {}, count = 0, more = false }
		end },
		["delete"] = { { delete = { key = "a" } }, function() return { deleted = 1, prev_kvs = {} } end },
		["delete of a range with prev_kv"] = { { delete = { key = "", prefix = true, prev_kv = true } }, function()
			return { deleted = 2, prev_kvs = { kv("a", "1"), kv("b", "2") } }
		end },
		["delete of nothing"] = { { delete = { key = "none" } }, function() return { deleted = 0, prev_kvs = {} } end },
		["txn"] = { { txn = {} }, function() return { succeeded = true, responses = {} } end },
	} do
		local operation, expected = table.unpack(case)
		it(name .. " under its name, like the call's own answer", function()
			revision = txn({ success = { mark("a", "1"), mark("b", "2") } }).header.revision
			local method, req = next(operation)
			req.key = req.key and prefix .. req.key
			local responses = txn({ success = { operation } }).responses
			assert.are.equal(1, #responses)
			assert.are.equal(method, (next(responses[1])))
			assert.is_nil(next(responses[1], method))
			local answer = responses[1][method]
			assert.are.equal("integer", math.type(answer.header.revision))
			answer.header = nil
			assert.are.same(expected(), answer)
		end)
	end

	for name, option in pairs { timeout = 4.5, retry = 0, retry_sleep = 10, retry_unknown = true } do
		it("a txn that says " .. name, function()
			assert.is_true(txn({ compare = {}, success = {}, failure = {}, [name] = option }).succeeded)
		end)
	end

	it("the responses in the order of the operations", function()
		local responses = txn({ success = {
			{ get = { key = prefix .. "a" } }, mark("a", "1"), { get = { key = prefix .. "a" } },
			{ delete = { key = prefix .. "none" } }, { txn = {} },
		} }).responses
		assert.are.same({ 0, 1 }, { responses[1].get.count, responses[3].get.count })
		assert.is_table(responses[2].put)
		assert.are.equal(0, responses[4].delete.deleted)
		assert.is_true(responses[5].txn.succeeded)
	end)
end)

describe("branches:", function()
	for name, case in pairs { success = { "right", true }, failure = { "wrong", false } } do
		it(name .. " runs and the other does not", function()
			put("a", "right")
			local answer = txn {
				compare = { equals("a", case[1]) },
				success = { mark("success"), mark("both") },
				failure = { mark("failure") },
			}
			assert.are.equal(case[2], answer.succeeded)
			assert.are.equal(case[2] and 2 or 1, #answer.responses)
			assert.are.same({ case[2], not case[2] }, { value("success") ~= nil, value("failure") ~= nil })
		end)
	end

	it("a branch that is missing does nothing", function()
		local answer = txn { compare = { equals("none", "x") }, success = { mark("a") } }
		assert.are.same({ false, {} }, { answer.succeeded, answer.responses })
		assert.is_nil(get("a"))
	end)
end)

describe("nested:", function()
	it("each level compares for itself", function()
		put("a", "1")
		local answer = txn { compare = { equals("a", "1") }, success = { { txn = {
			compare = { equals("a", "2") },
			success = { mark("wrong") },
			failure = { mark("inner"), { txn = { success = { { get = { key = prefix .. "a" } } } } } },
		} } } }
		assert.is_true(answer.succeeded)
		local inner = answer.responses[1].txn
		assert.is_false(inner.succeeded)
		assert.is_table(inner.responses[1].put)
		assert.are.equal("1", inner.responses[2].txn.responses[1].get.kvs[1].value)
		assert.are.same({ "done", nil }, { value("inner"), value("wrong") })
	end)

	-- An answer that the client cannot read must not have been a write.
	for _, depth in ipairs { 10, 40, 100 } do
		it(("%d levels are answered, or refused before they leave"):format(depth), function()
			local req = { success = { mark("deep") } }
			for _ = 1, depth do
				req = { success = { { txn = req } } }
			end
			local answer, message, info = client:txn(req)
			if not answer then
				assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied }, message)
				assert.is_nil(get("deep"))
				assert.is_true(depth > 40, message)
				return
			end
			for _ = 1, depth do
				answer = answer.responses[1].txn
			end
			assert.is_table(answer.responses[1].put)
		end)
	end
end)

describe("all or nothing:", function()
	it("all writes of a txn have one revision", function()
		local revision = txn({ success = { mark("a"), mark("b"), { txn = { success = { mark("c") } } } } }).header.revision
		for _, key in ipairs { "a", "b", "c" } do
			assert.are.equal(revision, get(key).mod_revision)
		end
	end)

	local function many(operation)
		local list = {}
		for i = 1, 129 do
			list[i] = operation(i)
		end
		return list
	end

	for name, case in pairs {
		["too many operations"] = { "invalid_argument", "too many operations in txn request", function()
			return { success = many(function(i) return mark("k" .. i) end) }
		end },
		["too many compares"] = { "invalid_argument", "too many operations in txn request", function()
			return { compare = many(function() return equals("a", "before") end), success = { mark("a") } }
		end },
		["a key twice"] = { "invalid_argument", "duplicate key given in txn request", function()
			return { success = { mark("a", "1"), mark("a", "2") } }
		end },
		["an empty key"] = { "invalid_argument", "key is not provided", function()
			return { success = { mark("a"), { put = { key = "", value = "" } } } }
		end },
		["a missing lease"] = { "not_found", "requested lease not found", function()
			return { success = { mark("a"), { put = { key = prefix .. "b", value = "", lease = 404 } } } }
		end },
		["a future revision"] = { "out_of_range", "mvcc: required revision is a future revision", function()
			return { success = { mark("a"), { get = { key = prefix .. "b", revision = 1 << 40 } } } }
		end },
	} do
		local code, text, request = table.unpack(case)
		it("C10: " .. name .. " is refused in etcd's words and nothing is written", function()
			put("a", "before")
			local answer, message, info = client:txn(request())
			assert.is_nil(answer)
			assert.are.equal(("txn: %s: etcdserver: %s (%s)"):format(code, text, server.endpoint()), message)
			assert.are.same({ code = code, applied = "no", endpoint = server.endpoint() }, server.plain(info))
			local kvs = assert(client:get { key = prefix, prefix = true }).kvs
			assert.are.same({ 1, "before" }, { #kvs, kvs[1].value })
		end)
	end

	it("of tasks that race for a key one wins", function()
		local winners = {}
		silly.run(function()
			for i = 1, 20 do
				task.fork(function()
					local absent = { key = prefix .. "a", target = "CREATE", result = "EQUAL", create_revision = 0 }
					if txn({ compare = { absent }, success = { mark("a", "task " .. i) } }).succeeded then
						winners[#winners + 1] = "task " .. i
					end
				end)
			end
		end)
		assert.are.same({ value("a") }, winners)
	end)
end)
