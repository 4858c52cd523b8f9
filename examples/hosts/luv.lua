-- A configuration that reloads itself, under luv, in a coroutine that its callbacks resume.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/luv.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"
local uv = require "luv"
local follow = require "examples.follow"

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

local function changed(key, value)
	print(key, value)
	if key == "config/port" and not value then
		client:close() -- ends `follow`
	end
end

---@async
local function sleep(milliseconds)
	local co, timer = coroutine.running(), uv.new_timer()
	timer:start(milliseconds, 0, function()
		timer:close()
		assert(coroutine.resume(co))
	end)
	coroutine.yield()
end

---@async
local function pause(message)
	io.stderr:write(message, "\n")
	sleep(1000)
end

coroutine.wrap(follow)(client, "config/", changed, pause)
uv.run()
