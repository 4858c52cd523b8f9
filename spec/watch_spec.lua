-- Watches: every event of the watched keys exactly once, in order, across faults.
-- In: a node whose history is this spec's alone; further nodes where one is killed or paused. Out: what the reads
-- return, and what the server counts.

local silly = require "silly"
local task = require "silly.task"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30 -- seconds after which a test that waits in vain fails instead

local node, client

local function connect(endpoint)
	return etcd.newclient { endpoints = { endpoint or node.endpoint }, retry = 100, retry_sleep = 50 }
end

-- What the server of `of` counts under a name.
local function metric(of, name)
	local file = assert(io.open(of.dir .. "/ports"))
	local port = file:read("a"):match("%d+%s*$")
	file:close()
	local _, text = server.sh(([[bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d
		printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3']]):format(port))
	return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
end

local WATCHERS = "etcd_debugging_mvcc_watcher_total"
local STREAMS = "grpc_server_started_total"
	.. '{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}'

-- Wait until the server has this many watchers.
local function await_watchers(count)
	for _ = 1, HANG * 20 do
		if metric(node, WATCHERS) == count then
			return
		end
		os.execute("sleep 0.05")
	end
	error(("%d watchers instead of %d"):format(metric(node, WATCHERS), count), 2)
end

-- Run `main` and the tasks that it forks to their end.
local function run(main)
	assert.is_true(silly.run(main))
end

local function put(key, value, by)
	return assert((by or client):put { key = key, value = value or "" }).header.revision
end

-- The next response.
local function read(stream)
	return assert(stream:read(HANG))
end

-- The next `count` events, each as "PUT key=value" or "DELETE key".
local function events(stream, count)
	local seen = {}
	while #seen < count do
		for _, event in ipairs(read(stream).events) do
			local kv = event.kv
			seen[#seen + 1] = event.type .. " " .. kv.key .. (event.type == "PUT" and "=" .. kv.value or "")
		end
	end
	return seen
end

lazy_setup(function()
	node = server.start { flags = { "--experimental-watch-progress-notify-interval=100ms" } }
end)

lazy_teardown(function()
	node:kill()
end)

local prefix

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

	it("filters the events", function()
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

	it("may leave out every event", function()
		local req = { key = prefix, filters = { "NOPUT", "NODELETE" }, progress_notify = true }
		local stream <close> = assert(client:watch(req))
		put(prefix)
		local last = assert(client:delete { key = prefix }).header.revision
		repeat
			local response = read(stream)
			assert.are.same({}, response.events)
		until response.header.revision >= last
	end)

	it("has a revision, by either name, from which the history is replayed", function()
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

	it("without a revision sees later events only", function()
		for _, revision in ipairs { false, 0 } do
			put(prefix, "before")
			local stream <close> = assert(client:watch { key = prefix, revision = revision or nil })
			put(prefix, "after")
			assert.are.same({ "PUT " .. prefix .. "=after" }, events(stream, 1))
		end
	end)

	it("asks for progress notifications", function()
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

	it("asks for what was there before", function()
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

	it("hold all events of a transaction", function()
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

	it("carry values that the server has to split", function()
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
		await_watchers(0)
		for count = 1, 3 do
			assert(client:watch { key = prefix })
			assert.are.equal(count, metric(node, WATCHERS))
		end
	end)

	it("shares one stream with the other watches of its client", function()
		local before = metric(node, STREAMS)
		local streams, seen, expected = {}, {}, {}
		run(function()
			for i = 1, 100 do
				task.fork(function() streams[i] = assert(client:watch { key = prefix .. i }) end)
			end
		end)
		for i = 1, 100 do
			put(prefix .. i, "v")
		end
		for i = 100, 1, -1 do
			seen[i] = events(streams[i], 1)[1]
			expected[i] = "PUT " .. prefix .. i .. "=v"
		end
		assert.are.same(expected, seen)
		assert.are.equal(before + 1, metric(node, STREAMS))
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
end)

describe("the end of a watch", function()
	local function assert_closed(text, response, message, info)
		assert.is_nil(response)
		assert.are.equal("watch: closed: " .. text, message)
		assert.are.same({ code = "closed", applied = "no" }, info)
	end

	it("is told by every read after close or cancel, which may be repeated", function()
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

	it("comes with <close>, and takes it off the server", function()
		await_watchers(0)
		local kept
		do
			local stream <close> = assert(client:watch { key = prefix })
			kept = stream
			await_watchers(1)
		end
		assert_closed("the watch is closed", kept:read())
		await_watchers(0)
	end)

	it("comes with the collector", function()
		await_watchers(0)
		local kept = assert(client:watch { key = prefix })
		assert(client:watch { key = prefix })
		await_watchers(2)
		collectgarbage()
		collectgarbage()
		await_watchers(1)
		put(prefix)
		read(kept)
		assert(connect():watch { key = prefix })
		await_watchers(2)
		collectgarbage()
		collectgarbage()
		await_watchers(1)
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

	it("is compaction where the revision is gone, and every read says so", function()
		local first = put(prefix, "1")
		local last = put(prefix, "2")
		assert(client:compact { revision = last })
		local stream = assert(client:watch { key = prefix, revision = first })
		for _ = 1, 3 do
			local response, message, info = stream:read(HANG)
			assert.is_nil(response)
			assert.are.equal(
				"watch: compacted: required revision has been compacted, the first that is left is " .. last, message)
			assert.are.same({ code = "compacted", applied = "no", compact_revision = last }, info)
		end
		assert.is_nil(stream:events()())
		local again <close> = assert(client:watch { key = prefix, revision = last })
		assert.are.same({ "PUT " .. prefix .. "=2" }, events(again, 1))
	end)

	it("shows in its text, like its client", function()
		local stream = assert(client:watch { key = prefix })
		local text = "silly.store.etcd.watch: silly.store.etcd.client: " .. node.endpoint
		assert.are.equal(text, tostring(stream))
		stream:close()
		assert.are.equal(text .. " (closed)", tostring(stream))
	end)
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

	it("gets 20,000 events exactly once and in order, though the client holds 4 MiB at most", function()
		await_watchers(0)
		local before = fill()
		local stream = assert(client:watch { key = prefix, prefix = true, revision = before + 1 })
		local last, pauses = before, 0
		while last < before + COUNT do
			-- The watch is taken off the server while the client's room is full.
			if last == before or pauses == 1 then
				await_watchers(0)
				pauses = pauses + 1
			end
			last = follow(last, read(stream))
		end
		assert.are.equal(before + COUNT, last)
		put(prefix .. "end", "v")
		assert.are.same({ "PUT " .. prefix .. "end=v" }, events(stream, 1))
	end)

	it("learns that what it left lying was compacted, after what the client holds", function()
		await_watchers(0)
		local before = fill()
		local stream = assert(client:watch { key = prefix, prefix = true, revision = before + 1 })
		await_watchers(0)
		assert(client:compact { revision = before + COUNT })
		local last = before
		local response, _, info
		repeat
			response, _, info = stream:read(HANG)
			if response then
				last = follow(last, response)
			end
		until not response
		assert.are.same({ code = "compacted", applied = "no", compact_revision = before + COUNT }, info)
		assert.is_true(last > before and last < before + COUNT)
	end)
end)

describe("a watch across faults", function()
	local own

	lazy_setup(function()
		own = server.start()
	end)

	lazy_teardown(function()
		own:kill()
	end)

	before_each(function()
		client:close()
		client = connect(own.endpoint)
	end)

	it("goes on where it was when the server was killed and is back", function()
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

	it("sees every write exactly once while the server is killed under many", function()
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

	it("goes on with a server that stood still", function()
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

	it("is not made on a server that gives no answer", function()
		put(prefix)
		own:pause()
		finally(function() own:resume() end)
		for _, revision in ipairs { 0, 1 } do
			local stream, message, info = client:watch {
				key = prefix, revision = revision, timeout = 0.1, retry = 1, retry_sleep = 1,
			}
			assert.is_nil(stream)
			assert.are.equal("watch: deadline_exceeded: no answer within 0.1 s (" .. own.endpoint .. ")", message)
			assert.are.same({ code = "deadline_exceeded", applied = "no", endpoint = own.endpoint }, info)
		end
	end)

	it("is not made where no server is", function()
		local nobody <close> = connect "127.0.0.1:1"
		for _, revision in ipairs { 0, 1 } do
			local stream, message, info = nobody:watch { key = prefix, revision = revision, retry = 2, retry_sleep = 1 }
			assert.is_nil(stream)
			assert.are.equal("watch: unavailable: connection refused (127.0.0.1:1)", message)
			assert.are.same({ code = "unavailable", applied = "no", endpoint = "127.0.0.1:1" }, info)
		end
	end)
end)
