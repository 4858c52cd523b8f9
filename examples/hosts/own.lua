-- A configuration that reloads itself, on a loop of one's own: a queue of coroutines.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/own.lua
-- Each further `put` is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"

local ready = {} -- coroutines to be resumed
local core, pump

local loop = {
	current = function()
		local co, main = coroutine.running()
		return not main and co or nil
	end,
	park = function() coroutine.yield() end,
	wake = function(co) table.insert(ready, co) end,
	start = function(c, p) core, pump = c, p end,
}

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }, loop = loop }
local config = {}

local function set(kv, value)
	config[kv.key:match "[^/]+$"] = value
end

-- Reads the configuration, then whatever changes in it.
local function follow()
	local now = assert(client:get { key = "config/", prefix = true })
	for _, kv in ipairs(now.kvs) do
		set(kv, kv.value)
	end
	local stream = assert(client:watch { key = "config/", prefix = true, revision = now.header.revision + 1 })
	while config.port do
		print("port " .. config.port)
		for _, event in ipairs(assert(stream:read()).events) do
			set(event.kv, event.type == "PUT" and event.kv.value or nil)
		end
	end
	client:close()
end

table.insert(ready, coroutine.create(follow))
repeat
	while ready[1] do
		assert(coroutine.resume(table.remove(ready, 1)))
	end
	local inflight = pump()
	if not ready[1] and inflight > 0 then
		core:wait()
	end
until not ready[1] and inflight == 0
