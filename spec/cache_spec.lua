-- client:cache: a range of keys that is always here. In: the etcd that all share, and etcds of the spec's own, which
-- are stopped, compacted and restored. Out: what is read is the store as it was at one revision, whatever happens.

local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local watches = require "spec.support.watches"

local HANG = watches.HANG

local client, prefix

-- Several coroutines, to their end.
local function run(main)
	assert.is_true(silly.run(main))
end

local function connect(node)
	return etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
end

local function put(key, value, by)
	return assert((by or client):put { key = prefix .. key, value = value or "" }).header.revision
end

-- Waits until `is` holds of a cache, by its changes of status.
local function await(cache, is)
	for _ = 1, HANG * 50 do
		local status = assert(cache:status())
		if is(status) then
			return status
		end
		os.execute "sleep 0.02"
	end
	local status = cache:status()
	error(("the cache is %s at %d after %d loads: %s"):format(status.state, status.revision, status.loads,
		tostring(status.message)), 2)
end

local function is(state)
	return function(status) return status.state == state end
end

-- Each change as "PUT key=value<before" or "DELETE key<before".
local function shown(response)
	local all = {}
	for i, event in ipairs(response.events) do
		local kv, before = event.kv, event.prev_kv
		all[i] = event.type .. " " .. kv.key:sub(#prefix + 1) .. (event.type == "PUT" and "=" .. kv.value or "")
			.. (before and "<" .. before.value or "")
	end
	return all
end

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	prefix = server.prefix()
end)

describe("a cache", function()
	local function cache(fields)
		local req = { key = prefix, prefix = true }
		for name, value in pairs(fields or {}) do
			req[name] = value
		end
		return assert(client:cache(req))
	end

	it("returns what `get` returns, for every request", function()
		for i = 1, 40 do
			-- No two are the same, since etcd's order of those is none.
			put(("k%02d"):format(i), tostring(i * 17 % 41))
		end
		local middle = put("k05", "again")
		put("k11", "later")
		assert(client:delete(prefix .. "k20"))
		local copy <close> = cache()
		local function same(req)
			req.key = prefix .. (req.key or "")
			local here, there = assert(copy:get(req)), assert(client:get(req))
			here.header, there.header = nil, nil
			assert.are.same(there, here)
		end
		for _, range in ipairs {
			{ prefix = true }, { key = "k1", prefix = true }, { key = "k05" }, { key = "none" },
			{ key = "k1", range_end = prefix .. "k3" }, { key = "k3", range_end = prefix .. "k1" },
		} do
			for _, more in ipairs {
				{}, { limit = 3 }, { limit = 1000 }, { keys_only = true }, { count_only = true },
				{ sort_order = "DESCEND" }, { sort_order = "DESCEND", limit = 2 },
				{ sort_target = "VALUE", sort_order = "ASCEND" },
				{ sort_target = "MOD", sort_order = "DESCEND", limit = 4 },
				{ sort_target = "CREATE" }, { min_mod_revision = middle }, { max_mod_revision = middle, limit = 2 },
				{ min_create_revision = middle }, { max_create_revision = middle - 20, keys_only = true },
			} do
				local req = {}
				for _, fields in ipairs { range, more } do
					for name, value in pairs(fields) do
						req[name] = value
					end
				end
				same(req)
			end
		end
		local newest = assert(copy:get {
			key = prefix, prefix = true, sort_target = "VERSION", sort_order = "DESCEND", limit = 3,
		})
		assert.are.same({ 2, 2, 1 }, { newest.kvs[1].version, newest.kvs[2].version, newest.kvs[3].version })
		assert.are.same(copy:get { key = prefix .. "k05" }.kvs, copy:get(prefix .. "k05").kvs)
	end)

	it("has the header of a response, with its own revision", function()
		put "a"
		local copy <close> = cache()
		local here, there = assert(copy:get(prefix .. "a")).header, assert(client:get(prefix .. "a")).header
		assert.are.equal(there.cluster_id, here.cluster_id)
		assert.are.equal(copy:status().revision, here.revision)
	end)

	it("returns a value, which it decodes once per change", function()
		put("a", "1")
		local calls = {}
		local copy <close> = cache { decode = function(value)
			calls[#calls + 1] = value
			return value ~= "none" and { value } or nil
		end }
		local plain <close> = cache()
		assert.are.equal("1", plain:value(prefix .. "a"))
		assert.are.equal(1, select("#", plain:value(prefix .. "a")))
		local first = copy:value(prefix .. "a")
		assert.are.same({ "1" }, first)
		assert.are.equal(first, copy:value(prefix .. "a"))
		assert.are.same({ "1" }, calls)
		local function follow(revision)
			assert(copy:get { key = prefix, min_revision = revision, wait = HANG })
		end
		follow(put("a", "2"))
		assert.are.same({ "2" }, copy:value(prefix .. "a"))
		follow(put("a", "none"))
		for _ = 1, 2 do
			local value, message = copy:value(prefix .. "a")
			assert.is_nil(value)
			assert.are.equal(("cache.value: decode returned nil for the key %q"):format(prefix .. "a"), message)
		end
		assert.are.same({ "1", "2", "none" }, calls)
		follow(assert(client:delete(prefix .. "a")).header.revision)
		assert.are.same({}, { copy:value(prefix .. "a") })
		local bad <close> = cache { decode = error }
		follow(put("b", "oops"))
		assert(bad:get { key = prefix, min_revision = copy:status().revision, wait = HANG })
		local value, message = bad:value(prefix .. "b")
		assert.is_nil(value)
		assert.are.equal(("cache.value: decode failed for the key %q: oops"):format(prefix .. "b"), message)
	end)

	it("forgets what it has decoded of keys that are gone", function()
		local copy <close> = cache { decode = function(value) return { value } end }
		local kept = setmetatable({}, { __mode = "v" })
		for i = 1, 400 do
			local revision = put("k", tostring(i))
			assert(copy:get { key = prefix, min_revision = revision, wait = HANG })
			kept[i] = copy:value(prefix .. "k")
			put(i, "x")
			assert(client:delete(prefix .. i))
		end
		collectgarbage()
		collectgarbage()
		local count = 0
		for _ in pairs(kept) do
			count = count + 1
		end
		assert.are.equal(1, count)
	end)

	it("iterates over the keys as they are", function()
		put("b/1", "x")
		put("a/1", "y")
		put("a/2", "z")
		local copy <close> = cache()
		local function all(...)
			local keys = {}
			for kv in copy:kvs(...) do
				keys[#keys + 1] = kv.key:sub(#prefix + 1) .. "=" .. kv.value
			end
			return keys
		end
		assert.are.same({ "a/1=y", "a/2=z", "b/1=x" }, all())
		assert.are.same({ "a/1=y", "a/2=z" }, all(prefix .. "a/"))
		assert.are.same({}, all(prefix .. "c"))
		local next = copy:kvs()
		local revision = put("a/0", "new")
		assert(copy:get { key = prefix, min_revision = revision, wait = HANG })
		assert.are.equal(prefix .. "a/1", next().key)
	end)

	it("waits for a revision, as long as it is told", function()
		local copy <close> = cache()
		for i = 1, 20 do
			local revision = put("a", tostring(i))
			local got = assert(copy:get { key = prefix .. "a", min_revision = revision, wait = HANG })
			assert.are.equal(tostring(i), got.kvs[1].value)
			assert.is_true(got.header.revision >= revision)
		end
		local got, message, info = copy:get { key = prefix .. "a", min_revision = 2 ^ 40, wait = 0.05 }
		assert.are.same({ nil, "timeout", { code = "timeout" } }, { got, message, { code = info.code } })
	end)

	it("reaches a revision that changed nothing in its range", function()
		local copy <close> = cache()
		local other = assert(client:put { key = "other" .. prefix, value = "" }).header.revision
		assert(copy:get { key = prefix, min_revision = other, wait = HANG })
		assert.is_true(copy:status().revision >= other)
	end)

	it("reads what is in the cluster now", function()
		local copy <close> = cache()
		for i = 1, 20 do
			put("a", tostring(i))
			assert.are.equal(tostring(i), assert(copy:get { key = prefix .. "a", linearizable = true }).kvs[1].value)
		end
	end)

	it("shows the writes of a transaction all or none, and never goes back", function()
		local copy <close> = cache()
		put("a", "0")
		local last = put("b", "0")
		assert(copy:get { key = prefix, min_revision = last, wait = HANG })
		local done = false
		run(function()
			task.fork(function()
				for i = 1, 300 do
					assert(client:txn { success = {
						{ put = { key = prefix .. "a", value = tostring(i) } }, { put = { key = prefix .. "b", value = tostring(i) } },
					} })
				end
				done = true
			end)
			local seen = 0
			while not done do
				local got = assert(copy:get { key = prefix, prefix = true })
				assert.are.equal(got.kvs[1].value, got.kvs[2].value)
				assert.is_true(got.header.revision >= last)
				seen, last = seen + (got.header.revision > last and 1 or 0), got.header.revision
				time.sleep(0)
			end
			assert.is_true(seen > 1)
		end)
	end)

	it("refuses what it does not have", function()
		local copy <close> = cache()
		local function refused(field, read, ...)
			local value, message, info = read(copy, ...)
			assert.is_nil(value)
			assert.are.equal("invalid_argument", info.code)
			assert.are.equal(field, info.field)
			return message
		end
		local outside = ": invalid_argument: this is outside of the cache's range"
		assert.are.equal("cache.value" .. outside, refused(nil, copy.value, "other"))
		assert.are.equal("cache.get" .. outside, refused(nil, copy.get, "other"))
		assert.are.equal("cache.get" .. outside, refused(nil, copy.get, { key = prefix, fromkey = true }))
		assert.are.equal("cache.get" .. outside, refused(nil, copy.get, { key = "other", linearizable = true }))
		assert.are.equal("cache.changes" .. outside, refused(nil, copy.changes, { key = "", prefix = true }))
		assert.are.equal("cache.get: field 'revision' is not kept here: ask client:get",
			refused("revision", copy.get, { key = prefix, revision = 5 }))
		assert.are.equal("cache.get: unknown field 'limits' (did you mean 'limit'?)",
			refused("limits", copy.get, { key = prefix, limits = 5 }))
		assert.are.equal("cache.changes: unknown field 'initials' (did you mean 'initial'?)",
			refused("initials", copy.changes, { initials = true }))
		assert.are.equal("cache.value: invalid_argument: the key must be a string, got a table",
			refused(nil, copy.value, {}))
		local ok, problem = pcall(copy.kvs, copy, "other")
		assert.is_false(ok)
		assert.matches("cache%.kvs" .. outside, problem)
	end)

	it("is closed: every read says so, and those that wait end", function()
		local copy = cache()
		local changes <close> = assert(copy:changes())
		run(function()
			task.fork(function()
				local _, message, info = copy:get { key = prefix, min_revision = 2 ^ 40 }
				assert.are.same({ "cache.get: closed: the cache is closed", "closed" }, { message, info.code })
			end)
			time.sleep(20)
			copy:close()
		end)
		for _, name in ipairs { "value", "get" } do
			local _, message, info = copy[name](copy, prefix)
			assert.are.same({ ("cache.%s: closed: the cache is closed"):format(name), "closed" }, { message, info.code })
		end
		assert.are.equal("closed", select(3, copy:changes()).code)
		assert.are.equal("closed", copy:status().state)
		copy:close()
		-- What was made with it lives on.
		put("a", "1")
		assert.are.same({ "PUT a=1" }, shown(assert(changes:read(HANG))))
		local own = etcd.newclient { endpoints = { server.endpoint() } }
		local orphan = assert(own:cache { key = prefix, prefix = true })
		local followed = assert(orphan:changes())
		own:close()
		assert.are.equal("closed", select(3, followed:read(HANG)).code)
		assert.are.equal("cache.value: closed: the client is closed", select(2, orphan:value(prefix)))
		for _ in followed:events() do end
	end)

	it("is made where nothing responds, and is there as soon as something does", function()
		local node = server.start()
		local own <close> = connect(node)
		put("a", "1", own)
		node:stop()
		local none, message, info = own:cache { key = prefix, prefix = true, wait = 0.2 }
		assert.is_nil(none)
		assert.are.equal("unavailable", info.code)
		assert.matches("^cache: unavailable: the first load did not come within 200ms: ", message)
		local copy <close> = assert(own:cache { key = prefix, prefix = true, wait = 0 })
		assert.are.equal("loading", copy:status().state)
		assert.are.equal("unavailable", select(3, copy:value(prefix .. "a")).code)
		assert.is_false(pcall(copy.kvs, copy))
		local changes <close> = assert(copy:changes { initial = true })
		node:start()
		assert.are.same({ "PUT a=1" }, shown(assert(changes:read(HANG))))
		assert.are.equal("1", copy:value(prefix .. "a"))
		node:kill()
	end)

	it("ends its watch when it is closed", function()
		local node = server.start()
		local own <close> = connect(node)
		local closed = assert(own:cache { key = prefix, prefix = true })
		watches.await(node, 1)
		closed:close()
		watches.await(node, 0)
		node:kill()
	end)

	it("shares one copy, one load and one watch with others of its range", function()
		local node = server.start()
		local own <close> = connect(node)
		put("a", "1", own)
		local copies = {}
		for i = 1, 5 do
			copies[i] = assert(own:cache { key = prefix, prefix = true })
		end
		watches.await(node, 1)
		assert.are.equal(1, copies[5]:status().loads)
		for i = 1, 4 do
			copies[i]:close()
			copies[i] = false
		end
		collectgarbage()
		assert.are.equal("1", copies[5]:value(prefix .. "a"))
		copies = nil -- luacheck: ignore
		collectgarbage()
		collectgarbage()
		watches.await(node, 0)
		node:kill()
	end)
end)

describe("changes", function()
	local copy

	before_each(function()
		put("a", "1")
		put("b", "1")
		copy = assert(client:cache { key = prefix, prefix = true })
	end)

	after_each(function()
		copy:close()
	end)

	local function reach(revision)
		assert(copy:get { key = prefix, min_revision = revision, wait = HANG })
	end

	it("are the newest of each key, with what this reader saw last", function()
		local changes <close> = assert(copy:changes())
		put("a", "2")
		put("a", "3")
		put("c", "new")
		put("d", "gone")
		assert(client:delete(prefix .. "d"))
		reach(assert(client:delete(prefix .. "b")).header.revision)
		local response = assert(changes:read(HANG))
		assert.are.same({ "PUT a=3<1", "DELETE b<1", "PUT c=new" }, shown(response))
		assert.is_false(response.reloaded)
		assert.are.equal(copy:status().revision, response.revision)
		reach(put("a", "4"))
		assert.are.same({ "PUT a=4<3" }, shown(assert(changes:read(HANG))))
		assert.are.equal("timeout", select(3, changes:read(0.01)).code)
	end)

	it("begin with all that is here, where that is asked for", function()
		local changes <close> = assert(copy:changes { initial = true })
		assert.are.same({ "PUT a=1", "PUT b=1" }, shown(assert(changes:read(HANG))))
		local part <close> = assert(copy:changes { initial = true, key = prefix .. "b", prefix = true })
		assert.are.same({ "PUT b=1" }, shown(assert(part:read(HANG))))
		put("a", "2")
		reach(put("b", "2"))
		assert.are.same({ "PUT b=2<1" }, shown(assert(part:read(HANG))))
		assert.are.same({ "PUT a=2<1", "PUT b=2<1" }, shown(assert(changes:read(HANG))))
	end)

	it("lose nothing to a loop that is left", function()
		local changes <close> = assert(copy:changes { initial = true })
		local next = changes:events()
		assert.are.equal(prefix .. "a", next().kv.key)
		assert.are.same({ "PUT b=1" }, shown(assert(changes:read(HANG))))
	end)

	it("wait for what comes, in a coroutine of their own", function()
		local changes <close> = assert(copy:changes())
		local seen = {}
		run(function()
			task.fork(function()
				for event, response in changes:events() do
					assert.is_true(response.revision >= event.kv.mod_revision)
					seen[#seen + 1] = event.kv.value
					if event.kv.value == "end" then
						changes:close()
					end
				end
			end)
			for i = 1, 10 do
				put("a", tostring(i))
			end
			put("a", "end")
		end)
		assert.are.equal("end", seen[#seen])
		assert.are.equal("closed", select(3, changes:read()).code)
	end)

	it("forget keys that came and went", function()
		local changes <close> = assert(copy:changes())
		local kept = assert(copy:changes())
		local before, revision = collectgarbage "count", nil
		for i = 1, 300 do
			put("come" .. i, ("v"):rep(1000))
			revision = assert(client:delete(prefix .. "come" .. i)).header.revision
		end
		reach(revision)
		assert.are.equal("timeout", select(3, changes:read(0.05)).code)
		assert.is_true(collectgarbage "count" - before < 1000)
		kept:close()
		assert.are.equal("closed", select(3, kept:read()).code)
	end)

	it("cost a reader that is late no more than its keys", function()
		local changes <close> = assert(copy:changes())
		local value = ("v"):rep(100000)
		local revision
		for i = 1, 300 do
			revision = put("a", value .. i)
		end
		reach(revision)
		local response = assert(changes:read(HANG))
		assert.are.equal(1, #response.events)
		assert.are.equal(value .. 300, response.events[1].kv.value)
	end)
end)

describe("through an outage", function()
	local node, own, copy, changes

	before_each(function()
		node = server.start()
		own = connect(node)
		put("a", "1", own)
		put("b", "1", own)
		copy = assert(own:cache { key = prefix, prefix = true })
		changes = assert(copy:changes())
	end)

	after_each(function()
		own:close()
		node:kill()
	end)

	it("a cache can be read, says for how long it is stale, and goes on", function()
		node:stop()
		local status = await(copy, is "stale")
		assert.is_string(status.message)
		assert.are.equal("1", copy:value(prefix .. "a"))
		local before = status.lag
		assert.is_true(await(copy, function(now) return now.lag > before end).lag > 0)
		local got, message = copy:get { key = prefix .. "a", min_revision = 2 ^ 40, wait = 0.05 }
		assert.are.same({ nil, "timeout" }, { got, message })
		node:start()
		await(copy, is "ready")
		put("a", "2", own)
		assert.are.same({ "PUT a=2<1" }, shown(assert(changes:read(HANG))))
		status = copy:status()
		assert.are.same({ "ready", 0, 1 }, { status.state, status.lag, status.loads })
		assert.is_nil(status.message)
	end)

	it("it loads anew what was compacted meanwhile, and shows the difference", function()
		node:cut(function(endpoint)
			local writer <close> = etcd.newclient { endpoints = { endpoint } }
			put("a", "2", writer)
			assert(writer:delete(prefix .. "b"))
			put("c", "new", writer)
			local last = put("d", "x", writer)
			assert(writer:compact { revision = last, physical = true })
			put("a", "3", writer)
			assert(writer:delete(prefix .. "d"))
		end)
		local response = assert(changes:read(HANG))
		assert.are.same({ "PUT a=3<1", "DELETE b<1", "PUT c=new" }, shown(response))
		assert.is_true(response.reloaded)
		assert.are.equal(2, copy:status().loads)
		put("a", "4", own)
		response = assert(changes:read(HANG))
		assert.are.same({ "PUT a=4<3" }, shown(response))
		assert.is_false(response.reloaded)
	end)

	it("it goes back with a store that was restored", function()
		local backup = node:backup()
		put("a", "lost", own)
		local last = put("e", "lost", own)
		assert(copy:get { key = prefix, min_revision = last, wait = HANG })
		assert.are.same({ "PUT a=lost<1", "PUT e=lost" }, shown(assert(changes:read(HANG))))
		node:stop()
		node:restore(backup)
		node:start()
		local response = assert(changes:read(HANG))
		assert.are.same({ "PUT a=1<lost", "DELETE e<lost" }, shown(response))
		assert.is_true(response.reloaded)
		assert.is_true(copy:status().revision < last)
		put("a", "2", own)
		assert.are.same({ "PUT a=2<1" }, shown(assert(changes:read(HANG))))
	end)

	it("reads that wait are not of a store that was before", function()
		local backup = node:backup()
		for _ = 1, 10 do
			put("a", "lost", own)
		end
		local last = put("a", "lost", own)
		assert(copy:get { key = prefix, min_revision = last, wait = HANG })
		node:stop()
		node:restore(backup)
		node:start()
		local second <close> = connect(node)
		-- At once, while the watch is on its way back.
		assert.are.equal("1", assert(second:get(prefix .. "a")).kvs[1].value)
		assert.are.equal("1", assert(copy:get { key = prefix .. "a", linearizable = true, wait = HANG }).kvs[1].value)
		local revision = put("a", "mine", second)
		assert.are.equal("mine",
			assert(copy:get { key = prefix .. "a", min_revision = revision, wait = HANG }).kvs[1].value)
	end)

	it("reads that wait end in time", function()
		node:pause()
		for _, req in ipairs { { linearizable = true }, { min_revision = 2 ^ 40 } } do
			req.key, req.wait = prefix .. "a", 0.2
			assert.are.equal("timeout", select(3, copy:get(req)).code)
		end
		node:resume()
	end)

	it("it decodes anew what a store that went back has under the same revision", function()
		local decoded = assert(own:cache { key = prefix, prefix = true, decode = function(value) return { value } end })
		local backup = node:backup()
		local lost = put("a", "lost", own)
		assert(decoded:get { key = prefix, min_revision = lost, wait = HANG })
		assert.are.same({ "lost" }, decoded:value(prefix .. "a"))
		node:stop()
		node:restore(backup)
		node:start()
		local revision
		repeat
			revision = put("a", "found", own)
		until revision >= lost
		await(decoded, function(status) return status.loads >= 2 and status.revision >= revision end)
		assert.are.same({ "found" }, decoded:value(prefix .. "a"))
	end)

	it("it is right at every revision, whatever is compacted and cut off", function()
		local states = {}
		-- What a transaction of one writer leaves, by its revision.
		local state = { a = "1", b = "1" }
		local function note(revision)
			local keys = {}
			for key, value in pairs(state) do
				keys[#keys + 1] = key .. "=" .. value
			end
			table.sort(keys)
			states[revision] = table.concat(keys, " ")
		end
		local function here()
			local all = {}
			local got = assert(copy:get { key = prefix, prefix = true })
			for i, kv in ipairs(got.kvs) do
				all[i] = kv.key:sub(#prefix + 1) .. "=" .. kv.value
			end
			return got.header.revision, table.concat(all, " ")
		end
		local first = copy:status().revision
		note(first)
		-- The history of this node is the writer's alone.
		local seed, seen, last = 7, {}, first
		local function random(n)
			seed = (seed * 1103515245 + 12345) % 2147483648
			return math.floor(seed / 65536) % n + 1
		end
		local function write(writer, round)
			local ops, keys = {}, {}
			for i = 1, random(3) do
				local key = string.char(96 + random(12))
				if not keys[key] then
					keys[key] = true
					local value = random(4) > 1 and ("%d.%d"):format(round, i) or nil
					ops[#ops + 1] = value and { put = { key = prefix .. key, value = value } } or { delete = { key = prefix .. key } }
					state[key] = value
				end
			end
			local revision = assert(writer:txn { success = ops, timeout = HANG }).header.revision
			note(revision)
			return revision
		end
		for round = 1, 4 do
			node:cut(function(endpoint)
				local writer <close> = etcd.newclient { endpoints = { endpoint } }
				for _ = 1, 20 do
					last = write(writer, round)
				end
				if round % 2 == 0 then
					assert(writer:compact { revision = last, physical = true })
				end
			end)
			for i = 1, 10 do
				last = write(own, round)
				-- Now as it may be, and now as it must.
				assert(i % 2 == 1 or copy:get { key = prefix, min_revision = last, wait = HANG })
				local revision, now = here()
				seen[revision] = seen[revision] or now
				assert.are.equal(seen[revision], now)
			end
			if round % 3 == 0 then
				assert(own:compact(last))
			end
		end
		assert(copy:get { key = prefix, min_revision = last, wait = HANG })
		local revision, now = here()
		assert.are.same({ last, states[last] }, { revision, now })
		local checked = 0
		for at, was in pairs(seen) do
			assert.are.equal(states[at], was, at)
			checked = checked + 1
		end
		assert.is_true(checked >= 20, checked)
		assert.is_true(copy:status().loads > 1, copy:status().loads)
		-- A reader of changes that was away all the while arrives at the same.
		local model = { a = "1", b = "1" }
		for _, event in ipairs(assert(changes:read(HANG)).events) do
			local key = event.kv.key:sub(#prefix + 1)
			assert.are.equal(model[key], event.prev_kv and event.prev_kv.value)
			model[key] = event.type == "PUT" and event.kv.value or nil
		end
		assert.are.same(state, model)
	end)
end)

describe("the file of a cache", function()
	local node, own, file

	before_each(function()
		node = server.start()
		own = connect(node)
		file = node.dir .. "/cache"
	end)

	after_each(function()
		own:close()
		node:kill()
	end)

	local function open(fields)
		local req = { key = prefix, prefix = true, file = file, wait = 0.2 }
		for name, value in pairs(fields or {}) do
			req[name] = value
		end
		return own:cache(req)
	end

	local function content()
		local handle = io.open(file, "rb")
		local text = handle and handle:read "*a"
		return text, handle and handle:close()
	end

	-- Waits until a value is in the file.
	local function written(value)
		for _ = 1, HANG * 20 do
			local text = content()
			if text and text:find(value, 1, true) then
				return
			end
			os.execute "sleep 0.05"
		end
		error "the file was not written"
	end

	-- As the next process would.
	local function restart()
		own:close()
		own = connect(node)
	end

	it("lets a program start while etcd is down", function()
		put("a", "first", own)
		assert(open { wait = HANG })
		local last = put("a", "second", own)
		written "second"
		local _, mode = server.sh("stat -c %a " .. file)
		assert.are.equal("600", (mode:gsub("%s", "")))
		node:stop()
		restart()
		local copy = assert(open())
		local status = copy:status()
		assert.are.same({ "stale", 0, last, 1 }, { status.state, status.loads, status.revision, status.keys })
		assert.are.equal("second", copy:value(prefix .. "a"))
		restart()
		local at_once = assert(open { wait = 0 })
		assert.are.equal("second", at_once:value(prefix .. "a"))
		local changes = assert(at_once:changes())
		node:start()
		await(at_once, is "ready")
		put("a", "third", own)
		local response = assert(changes:read(HANG))
		assert.are.same({ "PUT a=third<second" }, shown(response))
	end)

	it("is not used where it is damaged, or of another range", function()
		put("a", "first", own)
		assert(open { wait = HANG })
		written "first"
		node:stop()
		local whole = content()
		for _, text in ipairs { whole:sub(1, -2), whole:sub(1, 10), "", whole .. "x", (whole:gsub("first", "worst")) } do
			local handle = assert(io.open(file, "wb"))
			handle:write(text)
			handle:close()
			restart()
			assert.is_nil((open()))
			local copy = assert(open { wait = 0 })
			assert.are.equal("loading", copy:status().state)
			assert.are.equal("unavailable", select(3, copy:value(prefix .. "a")).code)
		end
		node:start()
		restart()
		local fresh = assert(open { wait = HANG })
		assert.are.equal("first", fresh:value(prefix .. "a"))
		written "first"
		node:stop()
		local handle = assert(io.open(file, "wb"))
		handle:write(whole)
		handle:close()
		restart()
		assert.is_nil((open { key = prefix .. "a" }))
		assert.are.equal("first", assert(open()):value(prefix .. "a"))
	end)

	it("has the last change when the cache is closed", function()
		local copy = assert(open { wait = HANG })
		local last = put("a", "last", own)
		assert(copy:get { key = prefix, min_revision = last, wait = HANG })
		copy:close()
		written "last"
	end)

	it("that is a pipe holds nothing up", function()
		assert.are.equal(0, (server.sh("mkfifo " .. file)))
		put("a", "first", own)
		local copy = assert(open { wait = HANG })
		assert.are.equal("first", copy:value(prefix .. "a"))
		assert.matches("it is no regular file", copy:status().message, 1, true)
	end)

	it("is told where it cannot be written", function()
		put("a", "first", own)
		local copy = assert(open { wait = HANG, file = "/nowhere/cache" })
		assert.are.equal("first", copy:value(prefix .. "a"))
		local status = await(copy, function(status) return status.message end)
		assert.are.equal("ready", status.state)
		assert.matches("^io: /nowhere/cache.part: No such file or directory", status.message)
	end)
end)

describe("a range that the user may not read", function()
	it("is told at once; and where the right is lost, the cache is stale until it is back", function()
		local node = server.start()
		local root = etcd.newclient { endpoints = { node.endpoint } }
		for _, call in ipairs {
			{ "useradd", { name = "root", password = "r" } }, { "usergrant", { user = "root", role = "root" } },
			{ "roleadd", { name = "reader" } }, { "useradd", { name = "u", password = "p" } },
			{ "rolegrant", { role = "reader", permission = "READ", key = server.namespace .. prefix, prefix = true } },
			{ "usergrant", { user = "u", role = "reader" } }, { "enable" },
		} do
			assert(root.auth[call[1]](root.auth, call[2]))
		end
		root:close()
		root = etcd.newclient { endpoints = { node.endpoint }, user = "root", password = "r" }
		local user <close> = etcd.newclient { endpoints = { node.endpoint }, user = "u", password = "p" }
		local began = os.time()
		local none, message, info = user:cache { key = "other", wait = 3600 }
		assert.is_nil(none)
		assert.are.equal("permission_denied", info.code, message)
		assert.is_true(os.time() - began < 600)
		local copy <close> = assert(user:cache { key = prefix, prefix = true })
		local reader = { role = "reader", key = server.namespace .. prefix, prefix = true }
		assert(root.auth:rolerevoke(reader))
		node:stop()
		node:start()
		assert.matches("^permission_denied: ", await(copy, function(status) return status.message
			and status.message:find "permission" end).message)
		reader.permission = "READ"
		assert(root.auth:rolegrant(reader))
		await(copy, is "ready")
		put("a", "1", root)
		assert(copy:get { key = prefix, min_revision = 1, wait = HANG })
		await(copy, function(status) return status.keys == 1 end)
		root:close()
		node:kill()
	end)
end)
