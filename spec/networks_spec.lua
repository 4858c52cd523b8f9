-- What stands between a client and its store, and a store that is put back: etcd's own proxy, and an older backup.
-- In: a node of this spec's own and a proxy before it. Out: what watches, leases and calls bring.

local silly = require "silly"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local watches = require "spec.support.watches"

local events = watches.events

local node

lazy_setup(function()
	node = server.start()
end)

lazy_teardown(function()
	node:kill()
end)

local function connect(endpoint)
	return etcd.newclient { endpoints = { endpoint }, retry = 100, retry_sleep = 50 }
end

describe("through etcd's own proxy", function()
	local proxy, client, prefix

	lazy_setup(function()
		proxy = server.proxy(node.endpoint)
	end)

	lazy_teardown(function()
		proxy:kill()
	end)

	before_each(function()
		client, prefix = connect(proxy.endpoint), server.prefix()
	end)

	after_each(function()
		client:close()
	end)

	-- Watches of this many keys, made at once.
	local function watch(count)
		local streams, waiting = {}, waitgroup.new()
		assert.is_true(silly.run(function()
			for i = 1, count do
				waiting:fork(function()
					streams[i] = assert(client:watch { key = prefix .. i, timeout = 30 })
				end)
			end
			waiting:wait()
		end))
		return streams
	end

	-- Writes each key and reads what the watches have.
	local function each(streams, value)
		for i in ipairs(streams) do
			assert(client:put { key = prefix .. i, value = value })
		end
		for i, stream in ipairs(streams) do
			assert.are.same({ ("PUT %s%d=%s"):format(prefix, i, value) }, events(stream, 1))
			assert.is_nil((stream:read(0)))
		end
	end

	it("each of many watches that are made at once has the events of its own key", function()
		each(watch(20), "1")
	end)

	it("and has them again when the proxy has restarted", function()
		local streams = watch(10)
		each(streams, "1")
		proxy:kill()
		proxy:start()
		each(streams, "2")
	end)

	it("errors have the codes that the proxy loses", function()
		local first = assert(client:put { key = prefix, value = "1" }).header.revision
		assert(client:put { key = prefix, value = "2" })
		assert(client:compact { revision = first + 1 })
		for call, code in pairs {
			[function() return client:put { key = "", value = "" } end] = "invalid_argument",
			[function() return client:get { key = prefix, revision = first } end] = "compacted",
			[function() return client:get { key = prefix, revision = first + 1000 } end] = "out_of_range",
			[function() return client:compact { revision = first } end] = "compacted",
			[function() return client:put { key = prefix, value = "", lease = 7 } end] = "not_found",
			[function() return client:revoke { ID = 7 } end] = "not_found",
		} do
			local _, message, info = call()
			assert.are.same({ code, "no" }, { info.code, info.applied }, message)
			assert.are.equal("etcdserver: ", info.server_message:sub(1, 12))
		end
	end)

	it("a lease is renewed once, and in the background", function()
		local lease = assert(client:grant { TTL = 3 })
		for _ = 1, 3 do
			assert.are.equal(3, assert(client:keepalive { ID = lease.ID }).TTL)
		end
		local stream = assert(client:keepalive(lease.ID))
		for _ = 1, 3 do
			assert.are.equal(3, assert(stream:read()).TTL)
		end
		stream:close()
		assert(client:revoke { ID = lease.ID })
	end)
end)

describe("an older backup in the store's place", function()
	local client, prefix

	before_each(function()
		client, prefix = connect(node.endpoint), server.prefix()
	end)

	after_each(function()
		client:close()
	end)

	-- A watch by this client that has seen what was written after the backup, which is put back then.
	local function watched(by)
		assert(client:put { key = prefix .. "a", value = "before" })
		local saved = node:backup()
		local stream = assert((by or client):watch { key = prefix, prefix = true })
		for i = 1, 10 do
			assert(client:put { key = prefix .. "a", value = tostring(i) })
		end
		events(stream, 10)
		node:kill()
		node:restore(saved)
		node:start()
		return stream
	end

	it("ends a watch as compacted, with both revisions", function()
		local _, message, info = watched():read(20)
		assert.are.equal("compacted", info.code, message)
		local from, to = message:match("the store went back from revision (%d+) to (%d+)")
		assert.are.equal(10, from - to, message)
		assert.are.equal(tonumber(to), info.compact_revision)
	end)

	it("behind a proxy too, whose stream lives on", function()
		local proxy = server.proxy(node.endpoint)
		local behind = connect(proxy.endpoint)
		finally(function()
			behind:close()
			proxy:kill()
		end)
		local _, message, info = watched(behind):read(40)
		assert.are.equal("compacted", info.code, message)
	end)

	it("and the next watch sees what is written from then on", function()
		local stream = watched()
		assert.is_nil((stream:read(20)))
		local now <close> = assert(client:watch { key = prefix, prefix = true }) -- luacheck: ignore
		assert(client:put { key = prefix .. "b", value = "new" })
		assert.are.same({ "PUT " .. prefix .. "b=new" }, events(now, 1))
	end)
end)
