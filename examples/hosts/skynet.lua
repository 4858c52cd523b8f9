-- A configuration that reloads itself, in a service of skynet.
--   make libraries
--   etcdctl put config/port 8080
--   SKYNET=.../skynet; export SKYNET; $SKYNET/skynet examples/hosts/skynet.config
-- Each change is printed, and `etcdctl del config/port` ends the program.

local skynet = require "skynet"
require "skynet.manager"
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
	skynet.sleep(100)
end

skynet.start(function()
	---@async
	skynet.fork(function()
		follow(client, "config/", changed, pause)
		skynet.abort()
	end)
end)
