-- A lua_State that ends with calls, watches and leases under way. In: the endpoint of a server that answers, that of
-- one that does not, a key prefix.

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local loop = require "spec.support.life.loop"

local endpoint, silent, prefix = ...

local client = etcd.newclient { endpoints = { endpoint }, loop = loop }
local mute = etcd.newclient { endpoints = { silent }, loop = loop }

local ready = 0
local function run(body)
	assert(coroutine.resume(coroutine.create(body)))
end

run(function()
	local stream = assert(client:watch { key = prefix, prefix = true })
	ready = ready + 1
	stream:read()
end)
run(function()
	local lease = assert(client:grant { TTL = 1 })
	local renewals = assert(client:keepalive(lease.ID))
	renewals:read()
	ready = ready + 1
	renewals:read()
end)
for _ = 1, 5 do
	run(function() mute:put { key = prefix, value = "v" } end)
	run(function() mute:watch { key = prefix } end)
	run(function() mute:grant { TTL = 60 } end)
end
while ready < 2 do
	core:wait()
	loop.pump()
end
for i = 1, 5 do
	run(function() client:put { key = prefix .. i, value = "v" } end)
end
