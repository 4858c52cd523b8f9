-- Leases: grant, revoke, ttl, leases and keepalive.
-- In: the shared server. Out: what the calls answer.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30 -- seconds after which a test that waits in vain fails instead

local function connect()
	return etcd.newclient { endpoints = { server.endpoint() } }
end

local client, prefix

before_each(function()
	client, prefix = connect(), server.prefix()
end)

after_each(function()
	client:close()
end)

local function assert_header(header)
	for _, field in ipairs { "cluster_id", "member_id", "revision", "raft_term" } do
		assert.are.equal("integer", math.type(header[field]), field)
	end
end

local function assert_gone(id)
	assert.are.equal(-1, assert(client:ttl { ID = id }).TTL)
end

describe("grant", function()
	it("answers with header, ID and TTL, and no error", function()
		local lease = assert(client:grant { TTL = 60 })
		assert_header(lease.header)
		assert.are.equal("integer", math.type(lease.ID))
		assert.is_true(lease.ID > 0)
		assert.are.equal(60, lease.TTL)
		assert.is_nil(lease.error)
	end)

	it("chooses another id each time, also where the request says 0", function()
		local seen = {}
		for _, id in ipairs { false, false, 0, 0, "0" } do
			local lease = assert(client:grant { TTL = 60, ID = id or nil })
			assert.is_nil(seen[lease.ID])
			seen[lease.ID] = true
		end
	end)

	it("takes the id that it is given, as an integer or as a string", function()
		for given, id in pairs {
			[5123001] = 5123001, ["5123002"] = 5123002, ["0x4e2bbb"] = 0x4e2bbb,
			["9223372036854775807"] = math.maxinteger,
		} do
			assert.are.equal(id, assert(client:grant { TTL = 60, ID = given }).ID)
			assert.are.equal(60, assert(client:ttl { ID = id }).grantedTTL)
			assert(client:revoke { ID = id })
		end
	end)

	it("answers with the TTL that the server made of it", function()
		assert.are.equal(2, assert(client:grant { TTL = 1 }).TTL)
	end)

	it("takes the largest TTL that etcd knows, and none beyond", function()
		assert.are.equal(9000000000, assert(client:grant { TTL = 9000000000 }).TTL)
		local lease, message, info = client:grant { TTL = 9000000001 }
		assert.is_nil(lease)
		assert.are.equal(
			"grant: out_of_range: etcdserver: too large lease TTL (" .. server.endpoint() .. ")", message)
		assert.are.same({ code = "out_of_range", applied = "no", endpoint = server.endpoint() }, server.plain(info))
	end)

	it("says that an id is taken", function()
		local taken = assert(client:grant { TTL = 60 }).ID
		local lease, message, info = client:grant { TTL = 60, ID = taken }
		assert.is_nil(lease)
		assert.are.equal(
			"grant: failed_precondition: etcdserver: lease already exists (" .. server.endpoint() .. ")", message)
		assert.are.same({ code = "failed_precondition", applied = "no", endpoint = server.endpoint() }, server.plain(info))
	end)

	it("names the field that is no good", function()
		for _, case in ipairs {
			{ {}, "grant: missing field 'TTL'", "TTL" },
			{ { ttl = 5 }, "grant: unknown field 'ttl' (did you mean 'TTL'?)", "ttl" },
			{ { TTL = 5, Id = 5 }, "grant: unknown field 'Id' (did you mean 'ID'?)", "Id" },
			{ { TTL = true }, "grant: field 'TTL' must be an integer, got a boolean (in seconds)", "TTL" },
			{ { TTL = 1.5 }, "grant: field 'TTL' must be an integer, got 1.5 (in seconds)", "TTL" },
			{ { TTL = 5, ID = "five" }, "grant: field 'ID' must be an integer, got 'five'", "ID" },
			{ { TTL = 5, ID = "18446744073709551616" }, "grant: field 'ID' is beyond 64 bits: 18446744073709551616", "ID" },
			{ { TTL = 5, keepalive = 1 }, "grant: field 'keepalive' must be a boolean, got a number", "keepalive" },
		} do
			local lease, message, info = client:grant(case[1])
			assert.is_nil(lease)
			assert.are.equal(case[2], message)
			assert.are.same({ code = "invalid_argument", applied = "no", field = case[3] }, info)
		end
	end)
end)

describe("revoke", function()
	it("ends the lease and deletes its keys in one step", function()
		local lease = assert(client:grant { TTL = 60 })
		for _, name in ipairs { "a", "b", "c" } do
			assert(client:put { key = prefix .. name, value = "", lease = lease.ID })
		end
		assert(client:put { key = prefix .. "free", value = "" })
		local stream <close> = assert(client:watch { key = prefix, prefix = true })
		assert_header(assert(client:revoke { ID = lease.ID }).header)
		local deleted = {}
		for i, event in ipairs(assert(stream:read(HANG)).events) do
			assert.are.equal("DELETE", event.type)
			deleted[i] = event.kv.key
		end
		table.sort(deleted)
		assert.are.same({ prefix .. "a", prefix .. "b", prefix .. "c" }, deleted)
		assert_gone(lease.ID)
		assert.are.equal(1, assert(client:get { key = prefix, prefix = true }).count)
	end)

	it("takes the id as a string too", function()
		local lease = assert(client:grant { TTL = 60 })
		assert(client:revoke { ID = tostring(lease.ID) })
		assert_gone(lease.ID)
	end)

	it("says that there is no such lease", function()
		local lease = assert(client:grant { TTL = 60 })
		assert(client:revoke { ID = lease.ID })
		local answer, message, info = client:revoke { ID = lease.ID }
		assert.is_nil(answer)
		assert.are.equal(
			"revoke: not_found: etcdserver: requested lease not found (" .. server.endpoint() .. ")", message)
		assert.are.same({ code = "not_found", applied = "no", endpoint = server.endpoint() }, server.plain(info))
	end)

	it("needs an id", function()
		local _, message, info = client:revoke {}
		assert.are.equal("revoke: missing field 'ID'", message)
		assert.are.equal("ID", info.field)
	end)
end)

describe("ttl", function()
	it("answers with header, ID, TTL and grantedTTL", function()
		local lease = assert(client:grant { TTL = 60 })
		local answer = assert(client:ttl { ID = lease.ID })
		assert_header(answer.header)
		assert.are.equal(lease.ID, answer.ID)
		assert.is_true(answer.TTL > 0 and answer.TTL <= 60)
		assert.are.equal(60, answer.grantedTTL)
		assert.are.same({}, answer.keys)
	end)

	it("lists the keys of the lease where asked to", function()
		local lease = assert(client:grant { TTL = 60 })
		assert.are.same({}, assert(client:ttl { ID = lease.ID, keys = true }).keys)
		assert(client:put { key = prefix .. "a", value = "", lease = lease.ID })
		assert(client:put { key = prefix .. "\0\255", value = "", lease = tostring(lease.ID) })
		local keys = assert(client:ttl { ID = tostring(lease.ID), keys = true }).keys
		table.sort(keys)
		assert.are.same({ prefix .. "\0\255", prefix .. "a" }, keys)
		assert.are.same({}, assert(client:ttl { ID = lease.ID, keys = false }).keys)
	end)

	it("is -1 for a lease that does not exist", function()
		local lease = assert(client:grant { TTL = 60 })
		assert(client:revoke { ID = lease.ID })
		local answer = assert(client:ttl { ID = lease.ID, keys = true })
		assert.are.equal(lease.ID, answer.ID)
		assert.are.equal(-1, answer.TTL)
		assert.are.equal(0, answer.grantedTTL)
		assert.are.same({}, answer.keys)
	end)

	it("names the field that is no good", function()
		for _, case in ipairs {
			{ {}, "ttl: missing field 'ID'" },
			{ { ID = 1, key = true }, "ttl: unknown field 'key' (did you mean 'keys'?)" },
			{ { ID = 1, keys = "yes" }, "ttl: field 'keys' must be a boolean, got a string" },
		} do
			local answer, message, info = client:ttl(case[1])
			assert.is_nil(answer)
			assert.are.equal(case[2], message)
			assert.are.equal("invalid_argument", info.code)
		end
	end)
end)

describe("leases", function()
	local function listed(...)
		local answer = assert(client:leases(...))
		assert_header(answer.header)
		local ids = {}
		for _, lease in ipairs(answer.leases) do
			assert.are.equal("integer", math.type(lease.ID))
			ids[lease.ID] = true
		end
		return ids
	end

	it("lists the leases of the cluster, with an empty request or none", function()
		local one, two = assert(client:grant { TTL = 60 }), assert(client:grant { TTL = 60 })
		for _, ids in ipairs { listed(), listed {} } do
			assert.is_true(ids[one.ID])
			assert.is_true(ids[two.ID])
		end
		assert(client:revoke { ID = one.ID })
		local ids = listed()
		assert.is_nil(ids[one.ID])
		assert.is_true(ids[two.ID])
	end)

	it("takes no other field", function()
		local answer, message = client:leases { ID = 1 }
		assert.is_nil(answer)
		assert.matches("^leases: unknown field 'ID'", message)
	end)
end)

describe("keepalive", function()
	local lease

	before_each(function()
		lease = assert(client:grant { TTL = 60, keepalive = false })
	end)

	local function assert_answer(answer)
		assert_header(answer.header)
		assert.are.equal(lease.ID, answer.ID)
		assert.are.equal(60, answer.TTL)
	end

	it("takes a request, an integer or a string", function()
		for _, form in ipairs {
			{ ID = lease.ID }, { ID = tostring(lease.ID) }, { ID = lease.ID, keepalive = true },
			lease.ID, tostring(lease.ID), ("0x%x"):format(lease.ID),
		} do
			local stream = assert(client:keepalive(form))
			assert_answer(stream)
			assert_answer(assert(stream:read()))
			assert.is_true(stream:write())
			assert_answer(assert(stream:read()))
			stream:close()
		end
	end)

	it("renews the lease each time that it is written", function()
		local other = assert(client:grant { TTL = 30, keepalive = false })
		local stream = assert(client:keepalive { ID = lease.ID })
		assert.is_true(stream:write { ID = lease.ID })
		assert_answer(assert(stream:read()))
		for _, form in ipairs { { ID = other.ID }, other.ID, tostring(other.ID) } do
			assert.is_true(stream:write(form))
			local answer = assert(stream:read())
			assert.are.equal(other.ID, answer.ID)
			assert.are.equal(30, answer.TTL)
		end
	end)

	it("reads the newest answer once", function()
		local stream = assert(client:keepalive { ID = lease.ID })
		assert.is_true(stream:write())
		assert.is_true(stream:write())
		assert_answer(assert(stream:read()))
		local answer, message, info = stream:read()
		assert.is_nil(answer)
		assert.matches("^keepalive: failed_precondition: ", message)
		assert.are.same({ code = "failed_precondition", applied = "no" }, server.plain(info))
	end)

	it("is over after close, which may be repeated", function()
		local stream = assert(client:keepalive { ID = lease.ID })
		stream:close()
		stream:close()
		for _, method in ipairs { "read", "write", "read" } do
			local answer, message, info = stream[method](stream)
			assert.is_nil(answer)
			assert.are.equal("keepalive: closed: the stream is closed", message)
			assert.are.same({ code = "closed", applied = "no" }, server.plain(info))
		end
		assert(client:keepalive { ID = lease.ID })
	end)

	it("is closed by <close>", function()
		local kept
		do
			local stream <close> = assert(client:keepalive { ID = lease.ID })
			kept = stream
		end
		assert.are.equal("closed", select(3, kept:read()).code)
	end)

	it("tells what it is", function()
		local stream = assert(client:keepalive { ID = lease.ID })
		local text = "silly.store.etcd.keepalive: " .. lease.ID
		assert.are.equal(text, tostring(stream))
		stream:close()
		assert.are.equal(text .. " (closed)", tostring(stream))
	end)

	it("says that there is no such lease", function()
		local stream = assert(client:keepalive { ID = lease.ID })
		assert(client:revoke { ID = lease.ID })
		for _, answer in ipairs {
			{ client:keepalive { ID = lease.ID } },
			{ client:keepalive(lease.ID) },
			{ stream:write() },
		} do
			assert.is_nil(answer[1])
			assert.matches("^keepalive: not_found: etcdserver: requested lease not found", answer[2])
			assert.are.equal("not_found", answer[3].code)
			assert.are.equal("no", answer[3].applied)
		end
	end)

	it("names what is no good", function()
		for _, case in ipairs {
			{ {}, "keepalive: missing field 'ID'" },
			{ nil, "keepalive: the request must be a table or its 'ID', got nil" },
			{ { ID = lease.ID, TTL = 5 }, "keepalive: unknown field 'TTL'" },
			{ true, "keepalive: field 'ID' must be an integer, got a boolean" },
			{ "five", "keepalive: field 'ID' must be an integer, got 'five'" },
		} do
			local stream, message, info = client:keepalive(case[1])
			assert.is_nil(stream)
			assert.are.equal(case[2], message)
			assert.are.equal("invalid_argument", info.code)
		end
	end)
end)
