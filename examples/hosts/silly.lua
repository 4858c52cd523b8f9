-- A configuration that reloads itself, in the silly framework, where this client takes the place of the built-in one.
--   eval "$(make -s env LUA=lua5.5)"
--   etcdctl put config/port 8080
--   silly examples/hosts/silly.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local library = assert(package.searchpath("silly.store.etcd", package.cpath))
package.preload["silly.store.etcd"] = package.loadlib(library, "luaopen_silly_store_etcd")

local etcd = require "silly.store.etcd"
local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"
local follow = require "examples.follow"

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

local function changed(key, value)
	print(key, value)
	if key == "config/port" and not value then
		client:close() -- ends `follow`
	end
end

---@async
local function pause(message)
	io.stderr:write(message, "\n")
	time.sleep(1000)
end

task.fork(function()
	follow(client, "config/", changed, pause)
	silly.exit(0)
end)
