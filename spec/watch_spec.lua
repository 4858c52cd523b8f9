-- Watches: what is asked for, what comes, and many watches at once.
-- In: a node whose history is this spec's alone. Out: what the reads return, and what the server counts.

local silly = require "silly"
local task = require "silly.task"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local watches = require "spec.support.watches"

local read, events, HANG = watches.read, watches.events, watches.HANG

local STREAMS = "grpc_server_started_total"
	.. '{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}'

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
	node = server.start { flags = { server.progress_flag "100ms" } }
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

describe("the request of a watch", function()
	-- What a watch sees of five writes, as in "+a -a". The last write, of a key that is watched too, ends it.
	local function seen(req, last)
		req.key, req.range_end = prefix .. req.key, req.range_end and prefix .. req.range_end
		local stream <close> = assert(client:watch(req))
		for _, name in ipairs { "a", "b", "ba", "c" } do
			put(prefix .. name)
		end
		assert(client:delete { key = prefix .. "b" })
		local ending = put(prefix .. last)
		assert(client:delete { key = prefix .. last })
		local names = {}
		while true do
			for _, event in ipairs(read(stream).events) do
				if event.kv.mod_revision >= ending then
					return table.concat(names, " ")
				end
				names[#names + 1] = (event.type == "PUT" and "+" or "-") .. event.kv.key:sub(#prefix + 1)
			end
		end
	end

	it("names a key, a prefix, a range, or all from a key on", function()
		assert.are.equal("+b -b", seen({ key = "b" }, "b"))
		assert.are.equal("+b +ba -b", seen({ key = "b", prefix = true }, "bz"))
		assert.are.equal("+a +b -b", seen({ key = "a", range_end = "ba" }, "a"))
		assert.are.equal("+ba +c", seen({ key = "ba", fromkey = true }, "z"))
	end)

	it("W1: filters the events", function()
		for _, filter in ipairs { { NOPUT = true }, { filters = { "NOPUT" } }, { NOPUT = true, filters = { "NOPUT" } } } do
			filter.key, filter.prefix = "", true
			assert.are.equal("-b", seen(filter, "z"))
		end
		for _, filter in ipairs { { NODELETE = true }, { filters = { "NODELETE" } } } do
			filter.key, filter.prefix = "", true
			assert.are.equal("+a +b +ba +c", seen(filter, "z"))
		end
		for _, off in ipairs { { NOPUT = false, NODELETE = false }, { filters = {} } } do
			off.key, off.prefix = "", true
			assert.are.equal("+a +b +ba +c -b", seen(off, "z"))
		end
	end)

	it("W1: may leave out every event", function()
		local req = { key = prefix, filters = { "NOPUT", "NODELETE" }, progress_notify = true }
		local stream <close> = assert(client:watch(req))
		put(prefix)
		local last = assert(client:delete { key = prefix }).header.revision
		repeat
			local response = read(stream)
			assert.are.same({}, response.events)
		until response.header.revision >= last
	end)

	it("W1: has a revision, by either name, from which the history is replayed", function()
		put(prefix, "before")
		local first = put(prefix, "0")
		local history = { "PUT " .. prefix .. "=0" }
		for i, req in ipairs {
			{ revision = first }, { revision = tostring(first) }, { start_revision = first },
			{ revision = first, start_revision = first },
		} do
			req.key = prefix
			local stream <close> = assert(client:watch(req))
			assert.are.same(history, events(stream, i))
			put(prefix, tostring(i))
			history[i + 1] = "PUT " .. prefix .. "=" .. i
			assert.are.same({ history[i + 1] }, events(stream, 1))
		end
	end)

	it("may name a revision that is still to come", function()
		local revision = put(prefix, "0") + 2
		local stream <close> = assert(client:watch { key = prefix, revision = revision })
		put(prefix, "1")
		put(prefix, "2")
		assert.are.same({ "PUT " .. prefix .. "=2" }, events(stream, 1))
	end)

	it("W2: without a revision sees later events only", function()
		for _, revision in ipairs { false, 0 } do
			put(prefix, "before")
			local stream <close> = assert(client:watch { key = prefix, revision = revision or nil })
			put(prefix, "after")
			assert.are.same({ "PUT " .. prefix .. "=after" }, events(stream, 1))
		end
	end)

	it("W1: asks for progress notifications", function()
		local notified <close> = assert(client:watch { key = prefix, progress_notify = true })
		local plain <close> = assert(client:watch { key = prefix })
		local revision = put(prefix .. "other")
		local response
		repeat
			response = read(notified)
			assert.are.same({}, response.events)
		until response.header.revision == revision
		put(prefix)
		repeat
			response = read(notified)
		until response.events[1]
		assert.are.equal(revision + 1, read(plain).events[1].kv.mod_revision)
	end)

	it("W1: asks for what was there before", function()
		local stream <close> = assert(client:watch { key = prefix, prev_kv = true })
		local plain <close> = assert(client:watch { key = prefix })
		local first, second = put(prefix, "1"), put(prefix, "2")
		assert(client:delete { key = prefix })
		put(prefix, "3")
		local previous = {}
		for i = 1, 4 do
			previous[i] = read(stream).events[1].prev_kv or "none"
			assert.is_nil(read(plain).events[1].prev_kv)
		end
		local kv = { key = prefix, value = "1", create_revision = first, mod_revision = first, version = 1, lease = 0 }
		local later = { key = prefix, value = "2", create_revision = first, mod_revision = second, version = 2, lease = 0 }
		assert.are.same({ "none", kv, later, "none" }, previous)
	end)

	it("is refused where a field is no good", function()
		for _, case in ipairs {
			{ {}, "watch: missing field 'key'", "key" },
			{ { key = "a", prefx = true }, "watch: unknown field 'prefx' (did you mean 'prefix'?)", "prefx" },
			{ { key = "a", prefix = true, fromkey = true }, "watch: field 'fromkey' excludes 'prefix'", "fromkey" },
			{ { key = "a", revision = -1 }, "watch: field 'revision' must not be negative, got -1", "revision" },
			{
				{ key = "a", revision = 1, start_revision = 2 },
				"watch: field 'start_revision' contradicts 'revision'", "start_revision",
			},
			{ { key = "a", filters = "NOPUT" }, "watch: field 'filters' must be a list, got a string", "filters" },
			{
				{ key = "a", filters = { "NOPUTS" } },
				"watch: field 'filters' must be one of NOPUT, NODELETE, got 'NOPUTS'", "filters",
			},
			{ { key = "a", NOPUT = 1 }, "watch: field 'NOPUT' must be a boolean, got a number", "NOPUT" },
		} do
			local stream, message, info = client:watch(case[1])
			assert.is_nil(stream)
			assert.are.equal(case[2], message)
			assert.are.same({ code = "invalid_argument", applied = "no", field = case[3] }, info)
		end
	end)
end)

describe("the responses of a watch", function()
	it("have all fields", function()
		local stream <close> = assert(client:watch { key = prefix, prev_kv = true })
		local lease = assert(client:grant { TTL = 60 }).ID
		local header = assert(client:put { key = prefix, value = "\0v", lease = lease }).header
		local response = read(stream)
		local id = response.watch_id
		assert.are.equal("integer", math.type(id))
		assert.is_true(id > 0)
		local revision = header.revision
		local kv = {
			key = prefix, value = "\0v", create_revision = revision, mod_revision = revision, version = 1, lease = lease,
		}
		local expected = {
			header = header, watch_id = id, created = false, canceled = false, compact_revision = 0, cancel_reason = "",
			fragment = false, events = { { type = "PUT", kv = kv } },
		}
		assert.are.same(expected, response)

		expected.header = assert(client:delete { key = prefix }).header
		expected.events = { {
			type = "DELETE", prev_kv = kv,
			kv = { key = prefix, value = "", create_revision = 0, mod_revision = revision + 1, version = 0, lease = 0 },
		} }
		assert.are.same(expected, read(stream))

		local other <close> = assert(client:watch { key = prefix })
		put(prefix)
		assert.are_not.equal(id, read(other).watch_id)
		assert.are.equal(id, read(stream).watch_id)
	end)

	it("W1: hold all events of a transaction", function()
		local stream <close> = assert(client:watch { key = prefix, prefix = true })
		put(prefix .. "b")
		assert(client:txn { success = {
			{ put = { key = prefix .. "c", value = "1" } },
			{ delete = { key = prefix .. "b" } },
			{ put = { key = prefix .. "a", value = "2" } },
		} })
		assert.are.equal(1, #read(stream).events)
		local response = read(stream)
		local seen = {}
		for i, event in ipairs(response.events) do
			seen[i] = event.type .. event.kv.key:sub(#prefix + 1)
			assert.are.equal(response.header.revision, event.kv.mod_revision)
		end
		assert.are.same({ "PUTc", "DELETEb", "PUTa" }, seen)
	end)

	it("W7: carry values that the server has to split", function()
		local values = {}
		local revision
		for i = 1, 6 do
			values[i] = string.char(i):rep(1400 * 1024)
			revision = revision or put(prefix, values[i])
			put(prefix, values[i])
		end
		local stream <close> = assert(client:watch { key = prefix, revision = revision + 1 })
		local count = 0
		while count < #values do
			local response = read(stream)
			assert.is_false(response.fragment)
			for _, event in ipairs(response.events) do
				count = count + 1
				assert.is_true(event.kv.value == values[count])
			end
		end
	end)
end)

describe("a watch", function()
	it("is on the server once watch returns", function()
		watches.await(node, 0)
		local streams = {}
		for count = 1, 3 do
			streams[count] = assert(client:watch { key = prefix })
			assert.are.equal(#streams, watches.count(node))
		end
	end)

	it("W8: shares one stream with 999 others of its client", function()
		local COUNT = 1000
		local before = node:metric(STREAMS)
		local streams = {}
		run(function()
			for i = 1, COUNT do
				task.fork(function() streams[i] = assert(client:watch { key = prefix .. i }) end)
			end
		end)
		assert.are.equal(COUNT, watches.count(node))
		run(function()
			for i = 1, COUNT do
				task.fork(function() put(prefix .. i, "v") end)
			end
		end)
		for i = COUNT, 1, -1 do
			assert.are.same({ "PUT " .. prefix .. i .. "=v" }, events(streams[i], 1))
		end
		assert.are.equal(before + 1, node:metric(STREAMS))
	end)

	it("W8: leaves the server as it was, 10,000 times", function()
		local before = node:metric(STREAMS)
		-- Keeps the stream open that the others share.
		local kept <close> = assert(client:watch { key = prefix })
		run(function()
			for _ = 1, 50 do
				task.fork(function()
					for _ = 1, 200 do
						local stream = assert(client:watch { key = prefix, revision = 1 })
						stream:close()
						stream:close()
					end
				end)
			end
		end)
		watches.await(node, 1)
		assert.are.equal(before + 1, node:metric(STREAMS))
		put(prefix, "v")
		assert.are.same({ "PUT " .. prefix .. "=v" }, events(kept, 1))
	end)

	it("can follow after the last one was closed", function()
		for i = 1, 3 do
			local stream <close> = assert(client:watch { key = prefix })
			put(prefix, tostring(i))
			assert.are.same({ "PUT " .. prefix .. "=" .. i }, events(stream, 1))
		end
	end)

	it("lives on when a read was limited and nothing came", function()
		local stream <close> = assert(client:watch { key = prefix })
		for _, limit in ipairs { 0, 0.01, 0 } do
			local response, message, info = stream:read(limit)
			assert.is_nil(response)
			assert.are.equal("timeout", message)
			assert.are.equal("timeout", info.code)
		end
		put(prefix, "v")
		assert.are.same({ "PUT " .. prefix .. "=v" }, events(stream, 1))
	end)

	it("refuses a limit that is no good", function()
		local stream <close> = assert(client:watch { key = prefix })
		for limit, reason in pairs {
			[-1] = "is no number of seconds: -1", [false] = "must be a number of seconds, got a boolean",
			soon = "must be a number of seconds, got a string",
		} do
			local response, message, info = stream:read(limit)
			assert.is_nil(response)
			assert.are.equal("watch: read: 'seconds' " .. reason, message)
			assert.are.same({ code = "invalid_argument", applied = "no", field = "seconds" }, info)
		end
	end)

	it("hands each response to one of its readers", function()
		run(function()
			local stream <close> = assert(client:watch { key = prefix })
			local seen = channel.new()
			for _ = 1, 2 do
				task.fork(function() seen:push(events(stream, 1)[1]) end)
			end
			for i = 1, 2 do
				put(prefix, tostring(i))
				assert.are.equal("PUT " .. prefix .. "=" .. i, seen:pop())
			end
		end)
	end)

	it("iterates over its events", function()
		put(prefix .. "a", "1")
		local revision = put(prefix .. "a", "2")
		assert(client:txn { success = {
			{ put = { key = prefix .. "b", value = "3" } }, { delete = { key = prefix .. "a" } },
		} })
		put(prefix .. "b", "4")
		local stream <close> = assert(client:watch { key = prefix, prefix = true, revision = revision })
		local seen = {}
		for event, response in stream:events() do
			assert.are.equal(stream.watch_id or response.watch_id, response.watch_id)
			seen[#seen + 1] = event.type .. " " .. event.kv.key:sub(#prefix + 1) .. event.kv.value
			if event.kv.value == "4" then
				stream:close()
			end
		end
		assert.are.same({ "PUT a2", "PUT b3", "DELETE a", "PUT b4" }, seen)
		assert.are.equal("closed", select(3, stream:read()).code)
	end)

	-- A watch that has one response with the events of these keys, and one with another's.
	local function watched(keys, last)
		local stream = assert(client:watch { key = prefix, prefix = true })
		local puts = {}
		for i, key in ipairs(keys) do
			puts[i] = { put = { key = prefix .. key, value = key } }
		end
		assert(client:txn { success = puts })
		put(prefix .. last, last)
		return stream
	end

	-- The first event of a loop that is left then.
	local function first(stream)
		for event, response in stream:events() do -- luacheck: ignore 512
			return event.kv.value, response
		end
	end

	it("loses nothing where a loop over its events is left", function()
		local stream <close> = watched({ "a", "b", "c" }, "d")
		assert.are.equal("a", first(stream))
		local second, whole = first(stream)
		assert.are.equal("b", second)
		assert.are.equal(3, #whole.events)
		-- The rest is a response too.
		local rest = assert(stream:read(HANG))
		assert.are.same({ "c" }, { rest.events[1].kv.value, rest.events[2] })
		assert.are.same({ whole.header, whole.watch_id }, { rest.header, rest.watch_id })
		assert.are.equal("d", first(stream))
	end)

	it("is left where a loop over its events closes it", function()
		local stream = watched({ "a", "b", "c" }, "d")
		local seen = {}
		for event in stream:events() do
			seen[#seen + 1] = event.kv.value
			stream:close()
		end
		assert.are.same({ "a" }, seen)
		assert.are.equal("closed", select(3, stream:read()).code)
	end)

	it("has loops over its events that share them", function()
		run(function()
			local stream <close> = assert(client:watch { key = prefix, prefix = true })
			local seen, both = {}, waitgroup.new()
			for _ = 1, 2 do
				both:fork(function()
					for event in stream:events() do
						seen[#seen + 1] = event.kv.value
						silly.sleep(0)
						if #seen >= 6 then
							return
						end
					end
				end)
			end
			for round = 0, 2 do
				local puts = {}
				for i = 1, 3 do
					puts[i] = { put = { key = prefix .. i, value = tostring(3 * round + i) } }
				end
				assert(client:txn { success = puts })
			end
			both:wait()
			for event in stream:events() do
				seen[#seen + 1] = event.kv.value
				if event.kv.value == "9" then
					break
				end
			end
			table.sort(seen)
			assert.are.same({ "1", "2", "3", "4", "5", "6", "7", "8", "9" }, seen)
		end)
	end)
end)
