-- client:get with `values`: the values by their keys, or with `keys_only` the keys, in the place of a table for each.
-- In: the shared server, below a fresh prefix for each spec. Out: one spec per property; each response is compared with
-- what the same request returns without `values`.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local client, prefix

lazy_setup(function() client = etcd.newclient { endpoints = { server.endpoint() } } end)

lazy_teardown(function() client:close() end)

before_each(function()
	prefix = server.prefix()
	for _, name in ipairs { "a", "b", "c", "d\0\255" } do
		assert(client:put { key = prefix .. name, value = "value of " .. name })
	end
	assert(client:put { key = prefix .. "empty", value = "" })
	assert(client:put { key = prefix .. "a", value = ("large"):rep(10000) })
end)

-- The same request with `values` and without: the two say the same.
local function compare(of, request)
	request.values = nil
	local whole = assert(of:get(request))
	request.values = true
	local short = assert(of:get(request))
	assert.is_nil(short.kvs)
	assert.is_nil(whole.values)
	assert.are.same({ whole.more, whole.count, whole.header.revision, whole.header.cluster_id },
		{ short.more, short.count, short.header.revision, short.header.cluster_id })
	local values, keys = {}, {}
	for i, kv in ipairs(whole.kvs) do
		values[kv.key], keys[i] = kv.value, kv.key
	end
	if request.keys_only then
		assert.is_nil(short.values)
		assert.are.same(keys, short.keys)
	else
		assert.is_nil(short.keys)
		assert.are.same(values, short.values)
	end
	return short, #keys
end

describe("values", function()
	for name, request in pairs {
		["a key"] = { key = "a" },
		["a key that is not there"] = { key = "none" },
		["a prefix"] = { key = "", prefix = true },
		["a range"] = { key = "b", range_end = "d" },
		["a page"] = { key = "", prefix = true, limit = 2 },
		["another order"] = { key = "", prefix = true, sort_order = "DESCEND", sort_target = "KEY" },
		["a count"] = { key = "", prefix = true, count_only = true },
		["one member's state"] = { key = "", prefix = true, serializable = true },
		["a store that is new enough"] = { key = "", prefix = true, min_revision = 1 },
	} do
		it("of " .. name .. " are those of the pairs, and so are the keys", function()
			request.key = prefix .. request.key
			request.range_end = request.range_end and prefix .. request.range_end
			compare(client, request)
			request.keys_only = true
			compare(client, request)
			request.key = request.key:sub(#prefix + 1)
			request.range_end = request.range_end and request.range_end:sub(#prefix + 1)
			local inside = assert(client:namespace(prefix))
			if request.key ~= "" then
				compare(inside, request)
				request.keys_only = nil
				compare(inside, request)
			end
		end)
	end

	it("of a namespace have keys without its prefix", function()
		local inside = assert(client:namespace(prefix))
		assert.are.same({ b = "value of b", c = "value of c" },
			assert(inside:get { key = "b", range_end = "d", values = true }).values)
	end)

	it("are each there once: nothing is left out of a large range", function()
		for i = 1, 300 do
			assert(client:put { key = prefix .. "many/" .. i, value = tostring(i) })
		end
		local short, count = compare(client, { key = prefix .. "many/", prefix = true })
		assert.are.equal(300, count)
		assert.are.equal("300", short.values[prefix .. "many/300"])
		assert.are.equal(300, #compare(client, { key = prefix .. "many/", prefix = true, keys_only = true }).keys)
	end)

	it("= false changes nothing", function()
		assert.are.equal("value of b", assert(client:get { key = prefix .. "b", values = false }).kvs[1].value)
	end)

	it("of another type are refused", function()
		local response, message, info = client:get { key = prefix, values = "yes" }
		assert.is_nil(response)
		assert.are.equal("get: field 'values' must be a boolean, got a string", message)
		assert.are.same({ "invalid_argument", "values" }, { info.code, info.field })
	end)

	it("are refused inside of a transaction", function()
		local response, message, info = client:txn { success = { { get = { key = prefix, values = true } } } }
		assert.is_nil(response)
		assert.are.equal("txn: success[1].get: unknown field 'values' (only `client:get` takes it, outside of a transaction)",
			message)
		assert.are.equal("invalid_argument", info.code)
	end)

	it("fail as the call does", function()
		local response, message, info = client:get { key = prefix, revision = 1 << 60, values = true }
		assert.is_nil(response)
		assert.are.equal("out_of_range", info.code)
		assert.is_truthy(message:find("get", 1, true))
	end)
end)
