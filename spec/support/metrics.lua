-- A program that has something of all that clients count, and serves it to Prometheus, under luv.
-- In: the endpoint of an etcd. Out: a line with the port; it runs until it is killed.

local etcd = require "silly.store.etcd"
local uv = require "luv"
local serve = dofile "examples/recipes/metrics.lua"

local endpoint = ...
local PAUSE = 50 -- milliseconds between two rounds
local PREFIX = "metrics/"

-- Nobody listens at the first.
local client = etcd.newclient { endpoints = { "127.0.0.1:1", endpoint }, name = "shop" }
-- Its other client takes away what this one holds.
local other = etcd.newclient { endpoints = { endpoint }, name = "thief" }

---@async
local function sleep(milliseconds)
	local co, timer = coroutine.running(), uv.new_timer()
	timer:start(milliseconds, 0, function()
		timer:close()
		assert(coroutine.resume(co))
	end)
	coroutine.yield()
end

-- Returns what is held: an entry, a cache, a watch that nobody reads. There are also a lease, and a watch that is read.
---@async
local function hold()
	assert(client:grant(60))
	local stream = assert(client:watch { key = PREFIX, prefix = true })
	etcd.go(function()
		while stream:read() do end -- luacheck: ignore
	end)
	return {
		assert(client:register { key = PREFIX .. "entry", value = "v" }),
		assert(client:cache { key = PREFIX, prefix = true }),
		assert(client:watch { key = PREFIX, prefix = true }),
	}
end

-- What is lost: a lease, a lock, a watch whose past is compacted away.
---@async
local function lose()
	local lease = assert(client:grant(2))
	local lock = assert(client:lock(PREFIX .. "lost"))
	assert(other:revoke(lease.ID))
	assert(other:delete { key = PREFIX .. "lost", prefix = true })
	assert(lock:wait())
	local last = assert(client:put { key = PREFIX .. "key", value = "0" }).header.revision
	assert(client:compact { revision = last, physical = true })
	assert(assert(client:watch { key = PREFIX, revision = 1 }):read() == nil)
end

etcd.go(function()
	local held = hold() -- luacheck: ignore 211 (the collector would close them)
	lose()
	print(serve("127.0.0.1", 0):getsockname().port)
	io.stdout:flush()
	while true do
		local lock = assert(client:lock(PREFIX .. "lock"))
		assert(client:put { key = PREFIX .. "key", value = "1" })
		client:get { key = PREFIX, revision = 2 ^ 40 } -- out_of_range
		assert(lock:unlock())
		sleep(PAUSE)
	end
end)
uv.run()
