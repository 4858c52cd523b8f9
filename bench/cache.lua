-- What a cache costs: make bench BENCH=cache.
--
-- In: $ETCD_ENDPOINTS. Out: a table of its load, its memory, its reads, and what it does with events. Times are CPU of
-- the whole process, all its threads, where they are not said to be another's.

---@diagnostic disable: await-in-sync -- here it blocks

local etcd = require "silly.store.etcd"

local KEYS, READS, EVENTS, PER = 100000, 2000000, 100000, 100
local endpoint = assert(os.getenv "ETCD_ENDPOINTS")
local client = etcd.newclient { endpoints = { endpoint }, timeout = 60 }
local value = ("v"):rep(90)

-- Puts so many keys, from the first on.
local function write(first, count)
	for from = first, first + count - 1, PER do
		local ops = {}
		for i = from, from + PER - 1 do
			ops[#ops + 1] = { put = { key = ("cache/%06d"):format(i % KEYS), value = value } }
		end
		assert(client:txn { success = ops })
	end
	return assert(client:get "cache").header.revision
end

if ... then
	return write(0, EVENTS)
end

local function memory()
	for line in io.lines "/proc/self/smaps_rollup" do
		local kib = line:match "^Rss:%s+(%d+)"
		if kib then
			return kib / 1024
		end
	end
end

local function row(what, number, unit)
	print(("| %-46s | %10.2f | %s |"):format(what, number, unit))
end

print(("| %-46s | %10s | |\n| --- | ---: | --- |"):format(_VERSION .. (rawget(_G, "jit") and ", LuaJIT" or ""), ""))
write(0, KEYS)
local before, began = memory(), os.clock()
local copy = assert(client:cache { key = "cache/", prefix = true, wait = 60 })
row("first load of 100,000 keys of 100 bytes", (os.clock() - began) * 1e3, "ms")
row("memory for them", memory() - before, "MiB")
began = os.clock()
local got = assert(client:get { key = "cache/", prefix = true })
assert(#got.kvs == KEYS)
row("get of the same in one response", (os.clock() - began) * 1e3, "ms")
got = nil -- luacheck: ignore
collectgarbage()

local decoded = assert(client:cache { key = "cache/", prefix = true, decode = string.len, wait = 60 })
local keys = {}
for i = 1, KEYS do
	keys[i] = ("cache/%06d"):format(math.random(KEYS) - 1)
	assert(decoded:value(keys[i]))
end
local function reads(what, read)
	began = os.clock()
	for i = 1, READS do
		read(i)
	end
	row(what, (os.clock() - began) / READS * 1e6, "us")
end
reads("value, the same key", function() return copy:value "cache/000500" end)
reads("value, decoded, the same key", function() return decoded:value "cache/000500" end)
reads("value, any of 100,000", function(i) return copy:value(keys[i % KEYS + 1]) end)
reads("value, decoded, any of 100,000", function(i) return decoded:value(keys[i % KEYS + 1]) end)
reads("get, the same key", function() return copy:get "cache/000500" end)

-- Another process writes.
local writer = assert(io.popen(("%s bench/cache.lua write"):format(arg[-1])))
began = os.clock()
writer:close()
assert(copy:get { key = "cache/", min_revision = assert(client:get "cache").header.revision, wait = 60 })
local each = (os.clock() - began) / EVENTS
row("an event that is applied", each * 1e6, "us")
row("events that one core applies", 1 / each, "per second")
