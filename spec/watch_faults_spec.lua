-- Every event of the watched keys exactly once, in order: across slow readers and across faults.
-- In: a node whose history is this spec's alone, and one that is killed and paused. Out: what the reads return.

local silly = require "silly"
local task = require "silly.task"
local waitgroup = require "silly.sync.waitgroup"
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

describe("a slow reader", function()
	local COUNT = 10000 -- transactions of two events

	-- Write COUNT transactions from several tasks and return the revision before them.
	local function fill()
		local before = put(prefix)
		local value, written = ("v"):rep(1024), 0
		run(function()
			for _ = 1, 32 do
				task.fork(function()
					while written < COUNT do
						written = written + 1
						assert(client:txn { timeout = HANG, success = {
							{ put = { key = prefix .. "a", value = value } }, { put = { key = prefix .. "b", value = value } },
						} })
					end
				end)
			end
		end)
		return before
	end

	-- Check that the events are those of the transactions after the revision `last`; return the last one's.
	local function follow(last, response)
		for i, event in ipairs(response.events) do
			last = last + i % 2
			assert(event.kv.mod_revision == last and event.kv.key == prefix .. (i % 2 == 1 and "a" or "b"))
		end
		return last
	end

	it("W6: gets 20,000 events exactly once and in order, though the client holds 4 MiB at most", function()
		watches.await(node, 0)
		local before = fill()
		local stream = assert(client:watch { key = prefix, prefix = true, revision = before + 1 })
		local last, pauses = before, 0
		while last < before + COUNT do
			-- The watch is taken off the server while the client's room is full.
			if last == before or pauses == 1 then
				watches.await(node, 0)
				pauses = pauses + 1
			end
			last = follow(last, read(stream))
		end
		assert.are.equal(before + COUNT, last)
		put(prefix .. "end", "v")
		assert.are.same({ "PUT " .. prefix .. "end=v" }, events(stream, 1))
	end)

	it("W4: learns that what it left lying was compacted, after what the client holds", function()
		watches.await(node, 0)
		local before = fill()
		local stream = assert(client:watch { key = prefix, prefix = true, revision = before + 1 })
		watches.await(node, 0)
		assert(client:compact { revision = before + COUNT })
		local last = before
		local response, _, info
		repeat
			response, _, info = stream:read(HANG)
			if response then
				last = follow(last, response)
			end
		until not response
		assert.are.same({ code = "compacted", applied = "no", compact_revision = before + COUNT }, server.plain(info))
		assert.is_true(last > before and last < before + COUNT)
	end)
end)

describe("a watch across faults", function()
	local own

	lazy_setup(function()
		own = server.start { flags = { server.progress_flag "100ms" } }
	end)

	lazy_teardown(function()
		own:kill()
	end)

	before_each(function()
		client:close()
		client = connect(own.endpoint)
	end)

	it("W2: goes on where it was when the server was killed and is back", function()
		put(prefix, "before")
		local idle <close> = assert(client:watch { key = prefix })
		local busy <close> = assert(client:watch { key = prefix, prefix = true })
		put(prefix .. "b", "1")
		put(prefix .. "b", "2")
		assert.are.same({ "PUT " .. prefix .. "b=1" }, events(busy, 1))
		own:kill()
		own:start()
		put(prefix, "3")
		put(prefix .. "b", "4")
		own:kill()
		own:start()
		put(prefix, "5")
		assert.are.same({ "PUT " .. prefix .. "=3", "PUT " .. prefix .. "=5" }, events(idle, 2))
		assert.are.same({
			"PUT " .. prefix .. "b=2", "PUT " .. prefix .. "=3", "PUT " .. prefix .. "b=4", "PUT " .. prefix .. "=5",
		}, events(busy, 4))
	end)

	it("W4: has a bookmark that moves though nothing comes, so that a compaction and a break cost it nothing", function()
		local idle <close> = assert(client:watch { key = prefix })
		local told <close> = assert(client:watch { key = prefix .. "told", progress_notify = true })
		local revision
		for i = 1, 3 do
			revision = put(prefix .. "other", tostring(i))
		end
		-- The server sends these to all watches of a stream in a round; the second shows that the first round is over.
		local rounds = 0
		repeat
			rounds = rounds + (read(told).header.revision >= revision and 1 or 0)
		until rounds == 2
		assert(client:compact { revision = revision, physical = true })
		own:kill()
		own:start()
		put(prefix, "v")
		assert.are.same({ "PUT " .. prefix .. "=v" }, events(idle, 1))
	end)

	it("W1: sees every write exactly once while the server is killed under many", function()
		local before = put(prefix)
		local acknowledged, seen = {}, {}
		run(function()
			local stream <close> = assert(client:watch { key = prefix, prefix = true })
			local writers = waitgroup.new()
			for i = 1, 16 do
				writers:fork(function()
					for j = 1, 100 do
						local answer = client:put { key = prefix .. i, value = tostring(j) }
						if answer then
							acknowledged[answer.header.revision] = ("%s%d=%d"):format(prefix, i, j)
						end
					end
				end)
			end
			task.fork(function()
				for _ = 1, 2 do
					for _ = 1, 3 do
						put(prefix .. "other")
					end
					own:kill()
					own:start()
				end
			end)
			task.fork(function()
				writers:wait()
				put(prefix .. "other", "end")
			end)
			for event in stream:events() do
				local kv = event.kv
				seen[#seen + 1] = ("%d %s=%s"):format(kv.mod_revision, kv.key, kv.value)
				if kv.value == "end" then
					break
				end
			end
		end)
		-- The history as the server tells it afterwards.
		local replay <close> = assert(client:watch { key = prefix, prefix = true, revision = before + 1 })
		local history = {}
		repeat
			for _, event in ipairs(read(replay).events) do
				local kv = event.kv
				history[#history + 1] = ("%d %s=%s"):format(kv.mod_revision, kv.key, kv.value)
				acknowledged[kv.mod_revision] = nil
			end
		until history[#history]:find("=end", 1, true)
		assert.are.same({}, acknowledged)
		assert.are.same(history, seen)
	end)

	it("W2: goes on with a server that stood still", function()
		local stream <close> = assert(client:watch { key = prefix })
		put(prefix, "1")
		own:pause()
		local answer, _, info = client:get { key = prefix, timeout = 0.1, retry = 0 }
		own:resume()
		assert.is_nil(answer)
		assert.are.equal("deadline_exceeded", info.code)
		put(prefix, "2")
		assert.are.same({ "PUT " .. prefix .. "=1", "PUT " .. prefix .. "=2" }, events(stream, 2))
	end)

	it("W8: is closed though the server gives no answer", function()
		local stream = assert(client:watch { key = prefix })
		own:pause()
		finally(function() own:resume() end)
		stream:close()
		assert.are.equal("closed", select(3, stream:read()).code)
	end)

	it("is not made on a server that gives no answer", function()
		put(prefix)
		own:pause()
		finally(function() own:resume() end)
		for _, revision in ipairs { 0, 1 } do
			local stream, message, info = client:watch {
				key = prefix, revision = revision, timeout = 0.1, retry = 1, retry_sleep = 1,
			}
			assert.is_nil(stream)
			assert.are.equal(
				"watch: deadline_exceeded: no response within 0.1 s (" .. own.endpoint .. "), after 2 attempts",
				message
			)
			assert.are.same({ code = "deadline_exceeded", applied = "no", endpoint = own.endpoint }, server.plain(info))
		end
	end)

	it("is not made where no server is", function()
		local nobody <close> = connect "127.0.0.1:1"
		for _, revision in ipairs { 0, 1 } do
			local stream, message, info = nobody:watch { key = prefix, revision = revision, retry = 2, retry_sleep = 1 }
			assert.is_nil(stream)
			assert.are.equal("watch: unavailable: connection refused (127.0.0.1:1), after 3 attempts", message)
			assert.are.same({ code = "unavailable", applied = "no", endpoint = "127.0.0.1:1" }, server.plain(info))
		end
	end)
end)
