-- A configuration that reloads itself, in a task of the standalone `silly` runtime.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/standalone.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"
local silly = require "silly"
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

silly.run(follow, client, "config/", changed, pause)
