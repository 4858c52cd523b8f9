-- A configuration that reloads itself, on a loop of one's own: a queue of coroutines.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/hosts/own.lua
-- Each change is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"
local follow = require "examples.follow"

local ready = {} -- coroutines to be resumed
local asleep = {} -- others, with the time at which they are
local core, pump ---@type silly.store.etcd.core, silly.store.etcd.pump

---@type silly.store.etcd.loop
local loop = {
	current = function()
		local co, main = coroutine.running()
		return not main and co or nil
	end,
	park = function() coroutine.yield() end,
	wake = function(co) table.insert(ready, co) end,
	start = function(c, p) core, pump = c, p end,
}

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }, loop = loop }

local function changed(key, value)
	print(key, value)
	if key == "config/port" and not value then
		client:close() -- ends `follow`
	end
end

---@async
local function pause(message)
	io.stderr:write(message, "\n")
	asleep[coroutine.running()] = os.time() + 1
	coroutine.yield()
end

table.insert(ready, coroutine.create(function() follow(client, "config/", changed, pause) end))
repeat
	while ready[1] do
		assert(coroutine.resume(table.remove(ready, 1)))
	end
	local busy = pump() > 0 or ready[1] or next(asleep)
	if busy and not ready[1] then
		core:wait(next(asleep) and 0.1)
	end
	for co, time in pairs(asleep) do
		if os.time() > time then
			asleep[co] = nil
			table.insert(ready, co)
		end
	end
until not busy
