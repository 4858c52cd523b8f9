-- How a watch ends, and what every read says from then on.
-- In: a node whose history is this spec's alone. Out: what the reads return, and what the server counts.

local silly = require "silly"
local task = require "silly.task"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local watches = require "spec.support.watches"

local read, events = watches.read, watches.events

local HANG = watches.HANG

local node, client, prefix

local function connect(endpoint)
	return etcd.newclient { endpoints = { endpoint or node.endpoint }, retry = 100, retry_sleep = 50 }
end

-- Run `main` and the tasks that it forks to their end.
local function run(main)
	assert.is_true(silly.run(main))
end

local function put(key, value)
	return assert(client:put { key = key, value = value or "" }).header.revision
end

lazy_setup(function()
	node = server.start()
end)

lazy_teardown(function()
	node:kill()
end)

before_each(function()
	client, prefix = connect(), server.prefix()
end)

after_each(function()
	client:close()
end)

describe("the end of a watch", function()
	local function assert_closed(text, response, message, info)
		assert.is_nil(response)
		assert.are.equal("watch: closed: " .. text, message)
		assert.are.same({ code = "closed", applied = "no" }, server.plain(info))
	end

	it("W8: is told by every read after close or cancel, which may be repeated", function()
		for _, method in ipairs { "close", "cancel" } do
			local stream = assert(client:watch { key = prefix })
			put(prefix)
			stream[method](stream)
			stream:close()
			stream:cancel()
			for _, limit in ipairs { false, 0, 1 } do
				assert_closed("the watch is closed", stream:read(limit or nil))
			end
		end
	end)

	it("W8: comes with <close>, and takes it off the server", function()
		watches.await(node, 0)
		local kept
		do
			local stream <close> = assert(client:watch { key = prefix })
			kept = stream
			watches.await(node, 1)
		end
		assert_closed("the watch is closed", kept:read())
		watches.await(node, 0)
	end)

	it("comes with the collector", function()
		watches.await(node, 0)
		local streams = { assert(client:watch { key = prefix }), assert(client:watch { key = prefix }) }
		watches.await(node, 2)
		streams[2] = nil
		collectgarbage()
		collectgarbage()
		watches.await(node, 1)
		put(prefix)
		read(streams[1])
		streams[2] = assert(connect():watch { key = prefix })
		watches.await(node, 2)
		streams[2] = nil
		collectgarbage()
		collectgarbage()
		watches.await(node, 1)
	end)

	it("does not come while the watch is in use, though its client is forgotten", function()
		local stream <close> = assert(connect():watch { key = prefix })
		collectgarbage()
		collectgarbage()
		put(prefix, "v")
		assert.are.same({ "PUT " .. prefix .. "=v" }, events(stream, 1))
	end)

	it("wakes whoever reads", function()
		for text, close in pairs {
			["the watch is closed"] = function(stream) stream:close() end,
			["the client is closed"] = function() client:close() end,
		} do
			local answers = {}
			run(function()
				local stream = assert(client:watch { key = prefix })
				for i = 1, 2 do
					task.fork(function() answers[i] = table.pack(stream:read()) end)
				end
				silly.sleep(0)
				close(stream)
				answers[3] = table.pack(stream:read())
			end)
			for i = 1, 3 do
				assert_closed(text, table.unpack(answers[i], 1, 3))
			end
			client = connect()
		end
	end)

	it("W4: is compaction where the revision is gone, and every read says so", function()
		local first = put(prefix, "1")
		local last = put(prefix, "2")
		assert(client:compact { revision = last })
		local stream = assert(client:watch { key = prefix, revision = first })
		for _ = 1, 3 do
			local response, message, info = stream:read(HANG)
			assert.is_nil(response)
			assert.are.equal(
				"watch: compacted: required revision has been compacted, the first that is left is " .. last, message)
			assert.are.same({ code = "compacted", applied = "no", compact_revision = last }, server.plain(info))
		end
		local ok, problem = pcall(function()
			for _ in stream:events() do -- luacheck: ignore 512
				error "an event"
			end
		end)
		assert.is_false(ok)
		assert.are.equal("compacted", problem:match "watch_end_spec.lua:%d+: watch: (%w+): ")
		local again <close> = assert(client:watch { key = prefix, revision = last })
		assert.are.same({ "PUT " .. prefix .. "=2" }, events(again, 1))
	end)

	it("shows in its text, like its client", function()
		local stream = assert(client:watch { key = prefix })
		local text = "silly.store.etcd.watch: silly.store.etcd.client: " .. node.endpoint
		assert.are.equal(text, tostring(stream))
		stream:close()
		assert.are.equal(text .. " (ended)", tostring(stream))
	end)
end)
