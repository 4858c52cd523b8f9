-- A member of a service: registered while it is healthy, and aware of the others.
--   bin/silly-run examples/daemons/registry.lua NAME ADDR HEALTH
-- In: the service, where this member is to be found, and a file that is there while it is healthy. Out: who comes and
-- goes, this member included, until it is killed.

---@diagnostic disable: await-in-sync -- the main chunk is a task too

local etcd = require "silly.store.etcd"
local task = require "silly.task"
local time = require "silly.time"

local name, addr, health = ...
local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

local function healthy()
	local file = io.open(health)
	return file ~= nil and file:close()
end

io.stdout:setvbuf "line"
task.fork(function()
	local service = assert(client:discover { name = name, wait = 3600 })
	for event in assert(service:changes { initial = true }):events() do
		print(event.type, event.addr)
	end
end)

-- Once registered it stays so by itself, whatever becomes of etcd: this only follows the health.
local entry
while true do
	if healthy() and not entry then
		entry = assert(client:register { name = name, addr = addr, TTL = 5, wait = 0 })
	elseif entry and not healthy() then
		entry:close()
		entry = nil
	end
	time.sleep(100)
end
