-- Members and maintenance of a cluster, through the client that serves meanwhile. In: a cluster of the spec's own that
-- grows from one node to three. Out: what `client.cluster` and `client.maintenance` do, as etcdctl sees it too.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local nodes, client = {}, nil

-- What etcdctl prints for a command.
local function ctl(...)
	local words = { "ETCDCTL_API=3 etcdctl --endpoints=" .. nodes[1].endpoint, ... }
	local status, output = server.sh(table.concat(words, " "))
	assert(status == 0, output)
	return output
end

-- An id as etcdctl prints it.
local function hex(id)
	return ("%x"):format(id)
end

-- The response, or nil where the members have not been connected for long enough for another change.
local function whenhealthy(answer, message)
	assert(answer or message:find("unhealthy cluster", 1, true), message)
	return answer
end

local function connect(...)
	local endpoints = {}
	for i, node in ipairs { ... } do
		endpoints[i] = node.endpoint
	end
	return etcd.newclient { endpoints = endpoints }
end

-- The status of the node.
local function status(node)
	return assert(client.maintenance:status { endpoint = node.endpoint })
end

local function id(node)
	return status(node).header.member_id
end

-- The node that leads.
local function leader()
	return server.await(function()
		for _, node in ipairs(nodes) do
			local answer = client.maintenance:status { endpoint = node.endpoint, retry = 0 }
			if answer and answer.leader == answer.header.member_id then
				return node
			end
		end
	end)
end

lazy_setup(function()
	nodes[1] = server.start()
	client = connect(nodes[1])
end)

lazy_teardown(function()
	client:close()
	for _, node in ipairs(nodes) do
		node:kill()
	end
end)

describe("a cluster that grows", function()
	it("has a member, as etcdctl says", function()
		local members = assert(client.cluster:members()).members
		assert.are.equal(1, #members)
		local member = members[1]
		assert.is_false(member.isLearner)
		local seen = ctl "member list"
		for _, text in ipairs { hex(member.ID), member.name, member.peerURLs[1], member.clientURLs[1] } do
			assert.is_truthy(seen:find(text, 1, true), text)
		end
	end)

	it("takes a learner, which is promoted once it has caught up, and another", function()
		for i = 2, 3 do
			local node = server.prepare()
			local added = server.await(function()
				return whenhealthy(client.cluster:add { peerURLs = { node.peer }, isLearner = true })
			end)
			assert.is_true(added.member.isLearner)
			assert.are.equal("", added.member.name)
			assert.are.equal(i, #added.members)
			-- Neither one that was never started nor a learner has to respond.
			assert.are.equal(i - 1, #assert(client.maintenance:compare()).members)
			local _, message, info = client.cluster:promote(added.member.ID)
			assert.are.equal("failed_precondition", info.code, message)

			node:join(added.members)
			nodes[i] = node
			local learning <close> = connect(table.unpack(nodes))
			assert.are.equal(i - 1, #assert(learning.maintenance:defragment { all = true }).members)
			local promoted = server.await(function() return client.cluster:promote(added.member.ID) end)
			assert.are.equal(i, #promoted.members)
			assert.is_truthy(ctl("member list"):find(hex(added.member.ID) .. ", started", 1, true))
			client:close()
			client = connect(table.unpack(nodes))
		end
		for _, member in ipairs(client.cluster:members({ serializable = true }).members) do
			assert.is_false(member.isLearner)
		end
	end)

	it("asks the member that a call names", function()
		local seen = {}
		for _, node in ipairs(nodes) do
			seen[id(node)] = true
			local member = id(node)
			assert.are.equal(member, assert(client:get { key = "a", endpoint = node.endpoint }).header.member_id)
		end
		for _, member in ipairs(client.cluster:members().members) do
			assert.is_true(seen[member.ID])
		end
	end)

	it("keeps its leader, or has another, wherever the client asks", function()
		local before = leader()
		for _, node in ipairs(nodes) do
			if node ~= before then
				local follower = id(node)
				-- This client prefers a follower by now.
				assert(client.maintenance:moveleader(follower))
				server.await(function() return status(node).leader == follower end)
				assert.are.equal(node, leader())
			end
		end
		local _, _, info = client.maintenance:moveleader { targetID = id(nodes[1]), endpoint = before.endpoint }
		assert.are.equal("failed_precondition", info.code)
	end)

	it("says where the leader is not among the endpoints", function()
		local lead = leader()
		local follower = nodes[1] == lead and nodes[2] or nodes[1]
		local other <close> = connect(follower)
		local _, message, info = other.maintenance:moveleader(id(follower))
		assert.are.equal("failed_precondition", info.code)
		assert.is_truthy(message:find("none of the endpoints is the leader's", 1, true), message)
		_, message = other.maintenance:compare()
		assert.is_truthy(message:find("does not respond at any of the endpoints", 1, true), message)
		_, message = other.maintenance:defragment { all = true }
		assert.is_truthy(message:find("does not respond at any of the endpoints", 1, true), message)
	end)

	it("is defragmented member by member, the leader last, and every put succeeds meanwhile", function()
		for i = 1, 200 do
			assert(client:put { key = "big/" .. i, value = ("x"):rep(10000) })
		end
		assert(client:delete { key = "big/", prefix = true })
		local revision = assert(client:get "a").header.revision
		assert(client:compact { revision = revision, physical = true })
		local lead = id(leader())
		local members = assert(client.maintenance:defragment { all = true }).members
		assert.are.equal(3, #members)
		assert.are.equal(lead, members[3].ID)
		for _, member in ipairs(members) do
			assert.is_true(member.freed > 0, member.freed)
			assert.are.equal(member.dbSize, assert(client.maintenance:status { endpoint = member.endpoint }).dbSize)
		end
		assert(client:put { key = "a", value = "b" })
	end)

	it("is prepared for an older version, and that is ended", function()
		local major, minor = server.version():match "^(%d+)%.(%d+)"
		local older = ("%s.%d.0"):format(major, minor - 1)
		local answer, message, info = client.maintenance:downgrade { action = "VALIDATE", version = older }
		if tonumber(minor) < 5 then
			assert.are.equal("unimplemented", info.code)
			assert.is_truthy(message:find("etcd has it from 3.5.0 on", 1, true), message)
			return
		end
		assert(answer, message)
		if tonumber(minor) == 5 then
			return -- It does the rest, and never responds.
		end
		assert(client.maintenance:downgrade { action = "ENABLE", version = older })
		local function told(enabled)
			return status(nodes[1]).downgradeInfo.enabled == enabled
		end
		server.await(function() return told(true) end)
		assert(client.maintenance:downgrade { action = "CANCEL" })
		server.await(function() return told(false) end)
	end)

	it("must be told which member to defragment", function()
		local _, message, info = client.maintenance:defragment()
		assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied })
		assert.is_truthy(message:find("several endpoints", 1, true), message)
		assert.are.same({ members = {} }, assert(client.maintenance:defragment { endpoint = nodes[2].endpoint }))
	end)

	it("has stored the same everywhere, as etcdctl says", function()
		local compared = assert(client.maintenance:compare())
		assert.is_true(compared.same)
		assert.are.equal(3, #compared.members)
		local endpoint = nodes[2].endpoint
		local hashed = assert(client.maintenance:hashkv { revision = compared.revision, endpoint = endpoint })
		local seen = ctl("endpoint hashkv --endpoints=" .. endpoint .. " --rev=" .. compared.revision)
		assert.is_truthy(seen:find(("%d"):format(hashed.hash), 1, true), seen)
		for _, member in ipairs(compared.members) do
			assert.are.equal(hashed.hash, member.hash)
		end
	end)

	it("loses its leader under load: no call fails, no event, no lease", function()
		local lead = leader()
		local lease = assert(client:grant { TTL = 5 })
		assert(client:put { key = "alive", value = "", lease = lease.ID })
		local stream <close> = assert(client:watch { key = "load/", prefix = true })
		local sent = 0
		local function load(count)
			for _ = 1, count do
				sent = sent + 1
				assert(client:put { key = "load/" .. sent, value = "", retry_unknown = true })
			end
		end
		load(100)
		local removed = id(lead)
		local survivors = {}
		for _, node in ipairs(nodes) do
			survivors[#survivors + 1] = node ~= lead and node or nil
		end
		-- Asked elsewhere: the leader goes before it has responded.
		local left = server.await(function()
			return whenhealthy(client.cluster:remove { ID = removed, endpoint = survivors[1].endpoint })
		end).members
		assert.are.equal(2, #left)
		load(200)
		local seen, last = {}, 0
		while last < sent do
			for _, event in ipairs(assert(stream:read(30)).events) do
				local number = tonumber(event.kv.key:match "%d+$")
				if not seen[number] then
					seen[number], last = true, number
				end
			end
		end
		for i = 1, sent do
			assert.is_true(seen[i], i)
		end
		assert.are.equal("alive", assert(client:get "alive").kvs[1].key)
		assert.is_true(assert(client:ttl(lease.ID)).TTL > 0)
		assert.is_nil(ctl("member list --endpoints=" .. survivors[1].endpoint):find(hex(removed), 1, true))
	end)
end)
