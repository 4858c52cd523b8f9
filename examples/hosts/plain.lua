-- A configuration that reloads itself, in plain Lua: each read blocks until something changes.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/plain.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

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
	os.execute "sleep 1"
end

---@diagnostic disable-next-line: await-in-sync -- here it blocks
follow(client, "config/", changed, pause)
