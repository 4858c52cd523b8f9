-- A configuration that reloads itself, in a coroutine of lua-eco.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   eco examples/hosts/eco.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local eco = require "eco"
local etcd = require "silly.store.etcd"
local follow = require "examples.follow"

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

local function changed(key, value)
	print(key, value)
	if key == "config/port" and not value then
		client:close() -- ends `follow`
	end
end

local function pause(message)
	io.stderr:write(message, "\n")
	eco.sleep(1)
end

eco.run(follow, client, "config/", changed, pause)
