-- Keys that are changed only where nobody else has changed them: client:swap, client:increment, and comparisons in
-- their short form. In: the shared server, below a fresh prefix for each spec. Out: one spec per case.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local silly = require "silly"
local task = require "silly.task"

local client, key

lazy_setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

lazy_teardown(function()
	client:close()
end)

before_each(function()
	key = server.prefix() .. "key"
end)

local function get()
	return assert(client:get(key)).kvs[1]
end

local function fails(code, answer, message, info)
	assert.is_nil(answer)
	assert.are.same({ code, "no" }, { info.code, info.applied }, message)
end

describe("swap", function()
	it("creates a key that must not exist", function()
		local swapped = assert(client:swap { key = key, mod_revision = 0, value = "one" })
		assert.is_true(swapped.succeeded)
		assert.is_nil(swapped.kv)
		assert.are.equal(swapped.header.revision, get().mod_revision)
		swapped = assert(client:swap { key = key, mod_revision = 0, value = "two" })
		assert.is_false(swapped.succeeded)
		assert.are.same(get(), swapped.kv)
		assert.are.equal("one", swapped.kv.value)
	end)

	it("changes and deletes what is as it was", function()
		assert(client:put { key = key, value = "one" })
		local before = get().mod_revision
		assert.is_true(assert(client:swap { key = key, mod_revision = before, value = "two" }).succeeded)
		assert.is_false(assert(client:swap { key = key, mod_revision = before, delete = true }).succeeded)
		assert.are.equal("two", get().value)
		assert.is_true(assert(client:swap { key = key, mod_revision = get().mod_revision, delete = true }).succeeded)
		assert.is_nil(get())
		local swapped = assert(client:swap { key = key, mod_revision = before, value = "three" })
		assert.is_false(swapped.succeeded)
		assert.is_nil(swapped.kv)
	end)

	it("puts under a lease, or keeps the one that there is", function()
		local lease = assert(client:grant { TTL = 300, keepalive = false })
		assert(client:swap { key = key, mod_revision = 0, value = "one", lease = lease.ID })
		assert.are.equal(lease.ID, get().lease)
		assert(client:swap { key = key, mod_revision = get().mod_revision, value = "two", ignore_lease = true })
		assert.are.equal(lease.ID, get().lease)
		assert(client:swap { key = key, mod_revision = get().mod_revision, value = "three" })
		assert.are.equal(0, get().lease)
		assert(client:revoke(lease.ID))
		fails("not_found", client:swap { key = key .. "x", mod_revision = 0, value = "", lease = lease.ID })
	end)
end)

describe("increment", function()
	it("begins where there is nothing, and goes on", function()
		assert.are.equal(1, assert(client:increment(key)).value)
		assert.are.equal(2, assert(client:increment(key)).value)
		assert.are.equal(-3, assert(client:increment { key = key, by = -5 }).value)
		assert.are.equal("-3", get().value)
		local counted = assert(client:increment { key = key .. "x", by = 0, initial = 7 })
		assert.are.same({ 7, 1 }, { counted.value, counted.tries })
		assert.are.equal(counted.header.revision, assert(client:get(key .. "x")).kvs[1].mod_revision)
	end)

	it("is exact up to the ends of 64 bits, and refuses what is beyond", function()
		for _, case in ipairs {
			{ "9223372036854775806", 1, math.maxinteger }, { "-9223372036854775807", -1, math.mininteger },
		} do
			assert(client:put { key = key, value = case[1] })
			assert.are.equal(case[3], assert(client:increment { key = key, by = case[2] }).value)
			assert.are.equal(tostring(case[3]), get().value)
			fails("out_of_range", client:increment { key = key, by = case[2] })
			assert.are.equal(tostring(case[3]), get().value)
		end
	end)

	it("refuses a value that is no number", function()
		for _, value in ipairs { "", "x", "1.5", " 1", "1 ", "0x1", "9223372036854775808", "1\0", "\xff" } do
			assert(client:put { key = key, value = value })
			fails("failed_precondition", client:increment(key))
			assert.are.equal(value, get().value)
		end
	end)

	it("keeps the lease, or takes another", function()
		local lease = assert(client:grant { TTL = 300, keepalive = false })
		assert(client:increment { key = key, lease = lease.ID })
		assert(client:increment(key))
		assert.are.equal(lease.ID, get().lease)
		assert(client:increment { key = key, lease = 0 })
		assert.are.equal(0, get().lease)
		assert(client:revoke(lease.ID))
	end)

	it("counts what 50 coroutines count at once", function()
		silly.run(function()
			for _ = 1, 50 do
				task.fork(function()
					for _ = 1, 20 do
						local counted, message, info
						repeat
							counted, message, info = client:increment(key)
						until counted or info.code ~= "aborted"
						assert(counted, message)
					end
				end)
			end
		end)
		assert.are.equal("1000", get().value)
	end)
end)

describe("a comparison", function()
	local function holds(compare)
		compare.key = key
		return assert(client:txn { compare = { compare } }).succeeded
	end

	it("with one operand needs no target, and is for equality", function()
		assert.is_true(holds { version = 0 })
		local lease = assert(client:grant { TTL = 300, keepalive = false })
		assert(client:put { key = key, value = "v", lease = lease.ID })
		local kv = get()
		for field, value in pairs {
			version = 1, create_revision = kv.create_revision, mod_revision = kv.mod_revision, value = "v", lease = lease.ID,
		} do
			assert.is_true(holds { [field] = value }, field)
			assert.is_true(holds { [field] = value, result = "=" }, field)
			assert.is_false(holds { [field] = value, result = "!=" }, field)
			assert.is_false(holds { [field] = value, result = "NOT_EQUAL" }, field)
		end
		assert(client:revoke(lease.ID))
	end)

	it("takes signs beside words", function()
		assert(client:put { key = key, value = "v" })
		for sign, results in pairs {
			["="] = { false, true, false }, ["!="] = { true, false, true },
			[">"] = { true, false, false }, ["<"] = { false, false, true },
		} do
			for i, version in ipairs { 0, 1, 2 } do
				assert.are.equal(results[i], holds { version = version, result = sign }, sign .. version)
				assert.are.equal(results[i], holds { version = version, result = sign, target = "VERSION" })
			end
		end
	end)
end)
