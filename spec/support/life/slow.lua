-- A watch that nobody reads while 40 MiB come for it. In: endpoint, key prefix. Out: an error unless it costs 16 MiB at
-- the most, keeps nothing from another watch on its stream, and has everything in order once it is read.

local host = require "host"
local etcd = require "silly.store.etcd"

local endpoint, prefix = ...

local EVENTS, SIZE, LIMIT = 5000, 8192, 16 * 1024 * 1024

local client = etcd.newclient { endpoints = { endpoint } }
local slow = assert(client:watch { key = prefix .. "slow/", prefix = true })
local quick = assert(client:watch { key = prefix .. "quick" })

local function heap()
	collectgarbage()
	return (select(3, host.usage()))
end

local value, before = ("v"):rep(SIZE), heap()
for i = 1, EVENTS do
	assert(client:put { key = ("%sslow/%05d"):format(prefix, i), value = value })
	if i % 500 == 0 then
		assert(client:put { key = prefix .. "quick", value = tostring(i) })
		assert(assert(quick:read(30)).events[1].kv.value == tostring(i))
		local kept = heap() - before
		assert(kept < LIMIT, kept .. " bytes are kept")
	end
end

local seen = 0
while seen < EVENTS do
	for _, event in ipairs(assert(slow:read(30)).events) do
		seen = seen + 1
		assert(event.kv.key == ("%sslow/%05d"):format(prefix, seen) and #event.kv.value == SIZE)
	end
end
