-- A configuration that reloads itself, in a service of skynet.
--   make libraries
--   etcdctl put config/port 8080
--   SKYNET=.../skynet; export SKYNET; $SKYNET/skynet examples/hosts/skynet.config
-- Each further `put` is printed, and `etcdctl del config/port` ends the program.

local skynet = require "skynet"
require "skynet.manager"
local etcd = require "silly.store.etcd"

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }
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
	skynet.abort()
end

skynet.start(function() skynet.fork(follow) end)
