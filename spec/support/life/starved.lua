-- Memory that ends at the n-th growth, for every n, in everything that a script may do. In: endpoint, key prefix, how
-- many growths fail in a row. Out: an error unless each attempt works or raises a Lua error, and all works afterwards.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local loop = require "spec.support.life.loop"

local endpoint, prefix, count = ...

local conf = { endpoints = { endpoint } }
local client = etcd.newclient(conf)
local lease = assert(client:grant { TTL = 60 })

local function put()
	return client:put { key = prefix .. "key", value = "value" }
end

local function forget()
	for name in pairs(package.loaded) do
		if name:find("^silly%.store") then
			package.loaded[name] = nil
		end
	end
end

local attempts = {
	require = function()
		forget()
		return require "silly.store.etcd"
	end,
	newclient = function()
		return etcd.newclient(conf):get { key = prefix }
	end,
	put = put,
	get = function()
		return client:get { key = prefix, prefix = true }
	end,
	txn = function()
		return client:txn {
			compare = { { target = "VERSION", key = prefix, result = "EQUAL", version = 0 } },
			success = { { get = { key = prefix, prefix = true } }, { put = { key = prefix .. "a", value = "" } } },
		}
	end,
	look = function()
		return client:txn { success = { { get = { key = prefix } }, { txn = { failure = { { get = { key = prefix } } } } } } }
	end,
	lease = function()
		return client:ttl { ID = lease.ID, keys = true } and client:keepalive { ID = lease.ID }
	end,
	watch = function()
		local stream = client:watch { key = prefix, prefix = true }
		local _ = stream and put() and stream:read(30)
		return stream
	end,
	refused = function()
		return select(3, client:delete { key = prefix, prefx = true })
	end,
	coroutines = function()
		local ended = 0
		local threads = {}
		for i = 1, 3 do
			threads[i] = coroutine.create(function()
				assert(put())
				ended = ended + 1
			end)
		end
		for i = 1, 3 do
			assert(coroutine.resume(threads[i]))
		end
		return ended == 3
	end,
}

-- The calls that change nothing, also if there is no memory for the answer.
local reads = { get = "get", look = "txn" }
local unwritten = {}

local function read(name, ok, answer, message, info)
	if ok and not answer then
		assert(message:find("^" .. reads[name] .. ": ") and info.applied == "no", message)
		unwritten[name] = true
	end
end

assert(put())
for name, attempt in pairs(attempts) do
	local n = 0
	repeat
		n = n + 1
		host.fail(n, tonumber(count))
		local ok, answer, message, info = pcall(attempt)
		local growths = host.growths()
		host.fail()
		if reads[name] then
			read(name, ok, answer, message, info)
		end
		assert(put())
	until growths < n
	-- Lua tries each growth twice; where further ones fail, the failure has no memory either.
	assert(not reads[name] or count ~= "2" or unwritten[name], name)
	assert(attempt(), name)
	print(name, n - 1)
end

-- A loop hands out what there is memory for, and the rest later: no error ends it, and no caller waits for ever.
local parked = etcd.newclient { endpoints = { endpoint }, loop = loop }
local n, growths = 0
repeat
	n = n + 1
	local ended = false
	assert(coroutine.resume(coroutine.create(function()
		parked:get { key = prefix, prefix = true }
		ended = true
	end)))
	repeat
		core:wait()
		host.fail(n, tonumber(count))
		loop.pump()
		growths = host.growths()
		host.fail()
	until growths > 0
	while loop.pump() > 0 do
		core:wait()
	end
	assert(ended)
until growths < n
print("pump", n - 1)
