-- The servers of a client: what is known of each, others in their place while it runs, and whether they serve. In: a
-- cluster of three of the spec's own.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local watches = require "spec.support.watches"


local nodes

local function connect(...)
	local endpoints = {}
	for i, node in ipairs { ... } do
		endpoints[i] = node.endpoint
	end
	return etcd.newclient { endpoints = endpoints, retry_sleep = 50 }
end

-- What the client knows of each server, by their addresses.
local function known(client)
	local by = {}
	for _, endpoint in ipairs(assert(client:endpoints())) do
		by[endpoint.endpoint] = endpoint
	end
	return by
end

-- The place of the leader among the nodes, once all of them serve.
local function leader(client)
	return server.await(function()
		local healthy = assert(client:health()).healthy
		for i, endpoint in ipairs(client:endpoints()) do
			if healthy and endpoint.leader then
				return i
			end
		end
	end)
end

lazy_setup(function()
	nodes = server.cluster(3)
end)

lazy_teardown(function()
	for _, node in ipairs(nodes) do
		node:kill()
	end
end)

describe("client:endpoints", function()
	it("tells what is known without asking anybody", function()
		local client <close> = connect(nodes[1], nodes[2])
		local before = assert(client:endpoints())
		assert.are.equal(2, #before)
		for i, endpoint in ipairs(before) do
			assert.are.equal(nodes[i].endpoint, endpoint.endpoint)
			assert.is_false(endpoint.connected)
			assert.are.equal(0, endpoint.failures)
			assert.are.equal(0, endpoint.member_id)
			assert.is_nil(endpoint.rtt)
			assert.is_nil(endpoint.version)
			assert.is_false(endpoint.leader)
		end
		assert.are_not.equal(before[1].current, before[2].current)

		local header = assert(client:get "a").header
		local seen
		for _, endpoint in ipairs(client:endpoints()) do
			if endpoint.current then
				seen = endpoint
			end
		end
		assert.is_true(seen.connected)
		assert.are.equal(header.member_id, seen.member_id)
		assert.is_true(seen.rtt > 0)
	end)

	it("knows versions and the leader once members were asked", function()
		local client <close> = connect(table.unpack(nodes))
		leader(client)
		local leaders = 0
		for _, endpoint in ipairs(client:endpoints()) do
			assert.is_truthy(endpoint.version:match "^3%.%d+%.%d+")
			leaders = leaders + (endpoint.leader and 1 or 0)
		end
		assert.are.equal(1, leaders)
	end)

	it("counts in how many attempts in a row a server was not reached", function()
		local gone = server.prepare()
		local client <close> = connect(gone)
		local _, message = client:get { key = "a", retry = 2 }
		assert.is_truthy(message)
		assert.are.equal(3, client:endpoints()[1].failures)
	end)
end)

describe("client:setendpoints", function()
	it("sends what comes to the new servers", function()
		local client <close> = connect(nodes[1])
		local first = assert(client:get "a").header.member_id
		assert.is_true(client:setendpoints { nodes[2].endpoint })
		assert.are_not.equal(first, assert(client:get "a").header.member_id)
		assert.are.equal("silly.store.etcd.client: " .. nodes[2].endpoint, tostring(client))
		assert.is_true(client:setendpoints { endpoints = { nodes[1].endpoint, nodes[2].endpoint } })
		assert.are.equal(2, #client:endpoints())
		-- The one that stays keeps its connection, and is still asked first.
		local stays = known(client)[nodes[2].endpoint]
		assert.is_true(stays.connected and stays.current)
	end)

	it("moves watches and renewals, and loses nothing", function()
		local client <close> = connect(nodes[1])
		local writer <close> = connect(nodes[3])
		local prefix = server.prefix()
		local stream = assert(client:watch { key = prefix, prefix = true })
		local lease = assert(client:grant { TTL = 6 })
		assert(client:put { key = prefix .. "/leased", value = "x", lease = lease.ID })
		watches.events(stream, 1)
		watches.await(nodes[1], 1)
		for round = 1, 10 do
			local to = nodes[round % 2 + 1]
			assert.is_true(client:setendpoints { to.endpoint })
			assert(writer:put { key = prefix .. "/a", value = tostring(round) })
		end
		for round, event in ipairs(watches.events(stream, 10)) do
			assert.are.equal(("PUT %s/a=%d"):format(prefix, round), event)
		end
		assert.is_true(client:setendpoints { nodes[2].endpoint })
		assert(writer:put { key = prefix .. "/a", value = "last" })
		assert.are.equal("PUT " .. prefix .. "/a=last", watches.events(stream, 1)[1])
		watches.await(nodes[2], 1)
		watches.await(nodes[1], 0)
		-- Renewed there from now on.
		nodes[1]:pause()
		local ok, left = pcall(function()
			os.execute "sleep 7"
			return assert(writer:ttl(lease.ID)).TTL
		end)
		nodes[1]:resume()
		assert(ok, left)
		assert.is_true(left >= 1)
	end)

	it("refuses what is no list of servers, and changes nothing", function()
		local client <close> = connect(nodes[1])
		local cases = {
			[{}] = "setendpoints: missing field 'endpoints'",
			[{ endpoints = {} }] = "setendpoints: field 'endpoints' must list at least one server",
			[{ "a:1", 7 }] = "setendpoints: field 'endpoints[2]' must be a string, got a number",
			[{ "a" }] = "setendpoints: field 'endpoints[1]' is not an address: the port is missing, got 'a'",
			[{ "a:1", "https://b:1" }] = "setendpoints: field 'endpoints[2]' is encrypted, and the client is not",
			[{ endpoints = { "a:1" }, timeout = 1 }] = "setendpoints: unknown field 'timeout'",
		}
		for request, expected in pairs(cases) do
			local done, message, info = client:setendpoints(request)
			assert.is_nil(done)
			assert.are.equal(expected, message)
			assert.are.equal("invalid_argument", info.code)
		end
		local _, message = client:setendpoints("a:1")
		assert.are.equal("setendpoints: field 'endpoints' must be a list, got a string", message)
		_, message = client:setendpoints({ "a:1" }, {})
		assert.is_truthy(message:find("takes one argument", 1, true))
		assert.are.equal(nodes[1].endpoint, client:endpoints()[1].endpoint)
		client:close()
		local _, _, info = client:setendpoints { nodes[2].endpoint }
		assert.are.equal("closed", info.code)
	end)
end)

describe("client:health", function()
	it("asks all servers at once, and says which do not serve", function()
		local client <close> = connect(table.unpack(nodes))
		-- Not the leader, without which none would serve.
		local sick = leader(client) % 3 + 1
		nodes[sick]:pause()
		local ok, answer = pcall(client.health, client, { timeout = 3 })
		nodes[sick]:resume()
		local health = assert(ok and answer, answer)
		assert.is_false(health.healthy)
		assert.are.equal(3, #health.endpoints)
		for i, endpoint in ipairs(health.endpoints) do
			assert.are.equal(nodes[i].endpoint, endpoint.endpoint)
			assert.are.equal(i ~= sick, endpoint.healthy, endpoint.message)
			assert.is_true(endpoint.seconds > 0)
			assert.are.same({}, endpoint.alarms)
		end
		assert.are.equal("deadline_exceeded", health.endpoints[sick].code)
		assert.are.equal("no response within 3 s", health.endpoints[sick].message)
		-- A server that the call names is asked alone.
		local one = assert(client:health { endpoint = nodes[3].endpoint })
		assert.is_true(one.healthy)
		assert.are.equal(1, #one.endpoints)
	end)

	it("tells of alarms", function()
		local node = server.start { flags = { "--quota-backend-bytes=200000" } }
		local client <close> = connect(node)
		server.await(function()
			local done, _, info = client:put { key = "a", value = ("x"):rep(50000) }
			return not done and info.code == "resource_exhausted"
		end)
		local health = assert(client:health())
		assert.is_false(health.healthy)
		assert.are.equal("NOSPACE", health.endpoints[1].alarms[1].alarm)
		assert.is_nil(health.endpoints[1].message)
		node:kill()
	end)

	it("takes a server that denies the read for healthy", function()
		local node = server.start()
		local root <close> = connect(node)
		assert(root.auth:useradd { name = "root", password = "p" })
		assert(root.auth:usergrant { user = "root", role = "root" })
		assert(root.auth:useradd { name = "guest", password = "g" })
		assert(root.auth:enable())
		local guest <close> = etcd.newclient { endpoints = { node.endpoint }, user = "guest", password = "g" }
		assert.are.equal("permission_denied", select(3, guest:get "health").code)
		assert.is_true(assert(guest:health { timeout = 5 }).healthy)
		node:kill()
	end)
end)

describe("client:sync", function()
	it("finds the members, of which one is enough to begin with", function()
		local client <close> = connect(nodes[1])
		local found = assert(client:sync())
		assert.are.equal(3, #found)
		local sources = {}
		for _, endpoint in ipairs(found) do
			sources[endpoint.endpoint] = endpoint.source
		end
		for _, node in ipairs(nodes) do
			assert.are.equal("member", sources[node.endpoint])
		end
		nodes[1]:pause()
		local ok, answer, message = pcall(client.get, client, { key = "a", timeout = 2 })
		nodes[1]:resume()
		assert(ok and answer, message or answer)
	end)

	it("happens by itself", function()
		local client <close> = etcd.newclient { endpoints = { nodes[1].endpoint }, sync = 1 }
		assert(client:get "a")
		server.await(function() return #client:endpoints() == 3 end)
	end)
end)

describe("balance", function()
	it("leader: the leader is asked first", function()
		local endpoints = { nodes[1].endpoint, nodes[2].endpoint, nodes[3].endpoint }
		local client <close> = etcd.newclient { endpoints = endpoints, balance = "leader" }
		server.await(function()
			local header = assert(client:get "a").header
			local status = assert(client.maintenance:status())
			return status.leader == status.header.member_id and status.leader == header.member_id
		end)
	end)

	it("spread: reads that any member may answer go round", function()
		local endpoints = { nodes[1].endpoint, nodes[2].endpoint, nodes[3].endpoint }
		local client <close> = etcd.newclient { endpoints = endpoints, balance = "spread" }
		local seen, count = {}, 0
		server.await(function()
			local id = assert(client:get { key = "a", serializable = true }).header.member_id
			if not seen[id] then
				seen[id], count = true, count + 1
			end
			return count == 3
		end)
	end)

	it("and what belongs to it is checked", function()
		for _, case in ipairs {
			{ { balance = "best" }, [["sticky", "leader", "nearest", "spread", got 'best']] },
			{ { sync = 0.5 }, "field 'sync' must be at least 1 second" },
			{ { sync = "1" }, "field 'sync' must be a number of seconds, got a string" },
			{ { nameservers = { "dns" } }, "field 'nameservers[1]' must be an IP address, or one with a port, got 'dns'" },
			{ { endpoints = { "srv://a:1" } }, "is not an address: expected srv://domain or srv://domain/cluster" },
		} do
			local conf, expected = case[1], case[2]
			conf.endpoints = conf.endpoints or { "127.0.0.1:1" }
			local ok, message = pcall(etcd.newclient, conf)
			assert.is_false(ok)
			assert.is_truthy(message:find(expected, 1, true), message)
		end
	end)
end)
