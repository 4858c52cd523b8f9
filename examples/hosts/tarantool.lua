-- A configuration that reloads itself, in a fiber of Tarantool.
--   eval "$(make -s env LUA_VERSION=5.1)"
--   etcdctl put config/port 8080
--   tarantool examples/hosts/tarantool.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local fiber = require "fiber"
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
	fiber.sleep(1)
end

local follower = fiber.new(follow, client, "config/", changed, pause)
follower:set_joinable(true)
follower:join()
os.exit(0)
