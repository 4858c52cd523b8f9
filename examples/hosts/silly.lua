-- A configuration that reloads itself, in the silly framework, where this client takes the place of the built-in one.
--   eval "$(make -s env LUA=lua5.5)"
--   etcdctl put config/port 8080
--   silly examples/hosts/silly.lua
-- Each further `put` is printed, and `etcdctl del config/port` ends the program.

local library = assert(package.searchpath("silly.store.etcd", package.cpath))
package.preload["silly.store.etcd"] = package.loadlib(library, "luaopen_silly_store_etcd")

local silly = require "silly"
local task = require "silly.task"
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
	silly.exit(0)
end

task.fork(follow)
