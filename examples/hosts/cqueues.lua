-- A configuration that reloads itself, in a coroutine of cqueues.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/cqueues.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"
local cqueues = require "cqueues"
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
	cqueues.sleep(1)
end

local controller = cqueues.new()
controller:wrap(follow, client, "config/", changed, pause)
assert(controller:loop())
