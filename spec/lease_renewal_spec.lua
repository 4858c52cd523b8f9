-- The renewal of leases in the background, and its end.
-- In: the shared server; nodes of its own that are killed or paused. Out: what the calls answer, and the DELETE events
-- of the keys whose lease has ended. That a lease lives on is shown by others of its TTL that end meanwhile.

local silly = require "silly"
local task = require "silly.task"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30 -- seconds after which a test that waits in vain fails instead

local function connect(endpoint)
	return etcd.newclient { endpoints = { endpoint or server.endpoint() } }
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

describe("renewal in the background", function()
	local stream, deleted, ids

	-- Note the names of the deleted keys until `name` is among them.
	local function await(name)
		while not deleted[name] do
			for _, event in ipairs(assert(stream:read(HANG)).events) do
				deleted[event.kv.key:sub(#prefix + 1)] = true
			end
		end
	end

	-- Grant a lease of the shortest TTL, with a key under it.
	local function grant(by, name, request)
		request = request or {}
		request.TTL = 2
		ids[name] = assert(by:grant(request)).ID
		assert(by:put { key = prefix .. name, value = "", lease = ids[name] })
	end

	before_each(function()
		deleted, ids = {}, {}
		stream = assert(client:watch { key = prefix, prefix = true, NOPUT = true })
	end)

	it("L1: keeps leases and their keys alive, those that it was given and only as long as it should", function()
		local closed, collected = connect(), connect()
		grant(closed, "client closed")
		grant(collected, "client forgotten")
		grant(client, "revoked")
		grant(client, "granted")
		grant(client, "granted under an id", { ID = 5123010 })
		grant(client, "granted with keepalive", { keepalive = true })
		for _, name in ipairs { "granted without keepalive", "renewed once", "integer", "string", "request" } do
			grant(client, name, { keepalive = false })
		end
		assert(client:keepalive { ID = ids["renewed once"] })
		assert(client:keepalive(ids["integer"])):close()
		assert(client:keepalive(tostring(ids["string"]))):close()
		assert(client:keepalive { ID = ids["request"], keepalive = true }):close()
		grant(client, "kept no longer")
		assert(client:keepalive { ID = ids["kept no longer"], keepalive = false }):close()
		closed:close()
		collected = nil -- luacheck: ignore 311
		collectgarbage()
		collectgarbage()
		assert(client:revoke { ID = ids["revoked"] })
		grant(client, "revoked and granted again", { ID = ids["revoked"], keepalive = false })

		grant(client, "first", { keepalive = false })
		await "first"
		grant(client, "second", { keepalive = false })
		await "second"

		local kept = {}
		collectgarbage()
		for _, kv in ipairs(assert(client:get { key = prefix, prefix = true, sort_order = "ASCEND" }).kvs) do
			kept[#kept + 1] = kv.key:sub(#prefix + 1)
			assert.are.equal(2, assert(client:ttl { ID = kv.lease }).grantedTTL)
		end
		assert.are.same({
			"client forgotten", "granted", "granted under an id", "granted with keepalive", "integer", "request", "string",
		}, kept)
		local gone = {}
		for name in pairs(deleted) do
			gone[#gone + 1] = name
			assert_gone(ids[name])
		end
		table.sort(gone)
		assert.are.same({
			"client closed", "first", "granted without keepalive", "kept no longer", "renewed once", "revoked",
			"revoked and granted again", "second",
		}, gone)
	end)

	it("L3: goes on while Lua is busy", function()
		grant(client, "kept")
		local script, ended = os.tmpname(), os.tmpname()
		local file = assert(io.open(script, "w"))
		file:write(([[
			local client = require "silly.store.etcd".newclient { endpoints = { %q } }
			local stream = assert(client:watch { key = %q, NOPUT = true })
			for _ = 1, 2 do
				local lease = assert(client:grant { TTL = 2, keepalive = false })
				assert(client:put { key = %q, value = "", lease = lease.ID })
				assert(stream:read(%d))
			end
		]]):format(server.endpoint(), prefix .. "other", prefix .. "other", HANG))
		file:close()
		os.execute(("{ bin/silly-run %s; echo $? >%s; } &"):format(script, ended))
		local status
		repeat
			file = assert(io.open(ended))
			status = file:read("n")
			file:close()
		until status
		assert.are.equal(0, status)
		os.remove(script)
		os.remove(ended)
		await "other"
		assert.are.same({ other = true }, deleted)
		assert.are.equal(2, assert(client:ttl { ID = ids["kept"] }).grantedTTL)
	end)

	it("is read from the object of keepalive(id)", function()
		local renewals = assert(client:keepalive(assert(client:grant { TTL = 2 }).ID))
		assert.are.equal(2, assert(renewals:read()).TTL)
		local answer, message, info = renewals:read(0)
		assert.is_nil(answer)
		assert.are.equal("timeout", message)
		assert.are.equal("timeout", info.code)
		for _ = 1, 2 do
			answer = assert(renewals:read(HANG))
			assert_header(answer.header)
			assert.are.equal(renewals.ID, answer.ID)
			assert.are.equal(2, answer.TTL)
		end
		answer, message = renewals:read("soon")
		assert.is_nil(answer)
		assert.are.equal("keepalive: read: 'seconds' must be a number of seconds, got a string", message)
	end)

	it("is read from every object of a lease that is kept, and of one that is kept from a write on", function()
		local kept = assert(client:grant { TTL = 2 }).ID
		local mine = assert(client:grant { TTL = 2, keepalive = false }).ID
		local written = assert(client:keepalive { ID = mine })
		assert(written:write { ID = mine, keepalive = true })
		for _, renewals in ipairs { assert(client:keepalive { ID = kept }), written } do
			for _ = 1, 3 do
				assert.are.equal(2, assert(renewals:read(HANG)).TTL)
			end
		end
	end)

	it("is read as it is now, also where nothing was read before", function()
		local lease = assert(client:grant { TTL = 2 }).ID
		local renewals = assert(client:keepalive(lease))
		assert(client:revoke { ID = lease })
		local answer, _, info = renewals:read()
		assert.is_nil(answer)
		assert.are.equal("lease_expired", info.code)
	end)

	it("L1: survives a restart of the server", function()
		local node = server.start()
		finally(function() node:kill() end)
		local mine <close> = connect(node.endpoint)
		local id = assert(mine:grant { TTL = 12 }).ID
		node:kill()
		node:start()
		-- What is left of a lease grows only when it is renewed.
		local idle <close> = assert(mine:watch { key = prefix })
		local left, before = assert(mine:ttl { ID = id }).TTL
		repeat
			idle:read(0.1)
			before = left
			left = assert(mine:ttl { ID = id }).TTL
		until left > before or left < 0
		assert.is_true(left > before)
	end)
end)

describe("grants", function()
	it("L8: make one lease each, however often their answers are lost", function()
		local node = server.start()
		finally(function() node:kill() end)
		local mine <close> = etcd.newclient { endpoints = { node.endpoint }, timeout = 0.2, retry = 1000, retry_sleep = 10 }
		local granted, lost = {}, 0
		silly.run(function()
			for _ = 1, 20 do
				task.fork(function()
					while lost < 3 do
						granted[assert(mine:grant { TTL = 600 }).ID] = true
					end
				end)
			end
			task.fork(function()
				for round = 1, 3 do
					node:pause()
					-- By then the grants under way have failed too, and were repeated.
					local answer, _, info = mine:get { key = prefix, timeout = 1, retry = 0 }
					node:resume()
					assert.is_nil(answer)
					assert.are.equal("deadline_exceeded", info.code)
					assert(mine:get { key = prefix })
					lost = round
				end
			end)
		end)
		local listed = {}
		for _, lease in ipairs(assert(mine:leases()).leases) do
			listed[lease.ID] = true
		end
		assert.are.equal(3, lost)
		assert.is_not_nil(next(granted))
		assert.are.same(granted, listed)
	end)
end)

describe("the end of the renewal", function()
	local lease, renewals

	before_each(function()
		lease = assert(client:grant { TTL = 2 }).ID
		renewals = assert(client:keepalive(lease))
		assert(renewals:read())
	end)

	-- Every read from now on must say the same; answers that came before are passed over.
	local function assert_ended(code, text)
		local answer, message, info
		repeat
			answer, message, info = renewals:read(HANG)
		until not answer
		for _ = 1, 3 do
			assert.are.equal("keepalive: " .. code .. ": " .. text, message)
			assert.are.same({ code = code, applied = "no" }, server.plain(info))
			answer, message, info = renewals:read(HANG)
			assert.is_nil(answer)
		end
	end

	local function puts()
		local put = { key = prefix, value = "", lease = lease }
		return {
			put = { client:put(put) }, txn = { client:txn { success = { { put = put } } } },
		}
	end

	local function assert_refused()
		for name, answer in pairs(puts()) do
			assert.is_nil(answer[1])
			assert.are.equal(name .. ": lease_expired: lease " .. lease .. " is lost", answer[2])
			assert.are.same({ code = "lease_expired", applied = "no" }, answer[3])
		end
	end

	local function assert_accepted()
		for _, answer in pairs(puts()) do
			assert(answer[1], answer[2])
		end
	end

	it("is told when the lease was revoked here", function()
		assert(client:revoke { ID = lease })
		assert_ended("lease_expired", "the lease was revoked")
	end)

	it("is told when the client was closed", function()
		client:close()
		assert_ended("closed", "the client is closed")
	end)

	it("L2: is told when another revoked the lease, and to writes with it", function()
		local other <close> = connect()
		assert(other:revoke { ID = lease })
		assert_ended("lease_expired", "the server does not have the lease any longer")
		assert_refused()
	end)

	it("is forgotten when the lease is granted again", function()
		local other <close> = connect()
		for _, keep in ipairs { true, false } do
			assert(other:revoke { ID = lease })
			assert_ended("lease_expired", "the server does not have the lease any longer")
			assert(client:grant { TTL = 2, ID = lease, keepalive = keep })
			assert_accepted()
			renewals = assert(client:keepalive(lease))
		end
	end)

	it("is forgotten when the lease proves to be alive", function()
		local other <close> = connect()
		assert(other:revoke { ID = lease })
		assert_ended("lease_expired", "the server does not have the lease any longer")
		assert(other:grant { TTL = 60, ID = lease })
		assert(client:keepalive { ID = lease })
		assert_accepted()
	end)

	it("L2: is told when the server was silent for as long as the lease lives", function()
		local node = server.start()
		finally(function() node:kill() end)
		client:close()
		client = connect(node.endpoint)
		lease = assert(client:grant { TTL = 2 }).ID
		renewals = assert(client:keepalive(lease))
		node:pause()
		assert_ended("lease_expired", "no renewal was answered within its TTL")
		assert_refused()
		node:resume()
		assert_refused()
	end)

	it("is told to whoever reads when the object is closed", function()
		lease = assert(client:grant { TTL = 60 }).ID
		renewals = assert(client:keepalive(lease))
		assert(renewals:read())
		local answer
		silly.run(function()
			task.fork(function() answer = table.pack(renewals:read(HANG)) end)
			silly.sleep(0)
			renewals:close()
		end)
		assert.is_nil(answer[1])
		assert.are.equal("keepalive: closed: the stream is closed", answer[2])
		assert.are.same({ code = "closed", applied = "no" }, answer[3])
	end)
end)
