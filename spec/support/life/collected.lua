-- The collector at its most aggressive. In: endpoint, key prefix, "hook" (a full collection every few instructions) or
-- "generational" or "incremental" (with no pause). Out: an error unless all answers are as ever.

local etcd = require "silly.store.etcd"

local endpoint, prefix, mode = ...

local function hooked(co)
	if mode == "hook" then
		debug.sethook(co, function() collectgarbage() end, "", 20)
	end
end

hooked(coroutine.running())
if mode == "generational" then
	collectgarbage("generational", 1, 1)
elseif mode == "incremental" then
	collectgarbage("incremental", 1, 1000, 1)
end

assert(loadfile("spec/support/life/smoke.lua"))(endpoint, prefix, mode == "hook" and 3 or 50)

-- Objects that are dropped while calls of theirs are under way.
local ended = 0
for i = 1, 20 do
	local co = coroutine.create(function()
		local client = etcd.newclient { endpoints = { endpoint } }
		local stream = assert(client:watch { key = prefix .. i })
		assert(client:put { key = prefix .. i, value = "v" })
		client = nil -- luacheck: ignore 311
		assert(stream:read().events[1].kv.value == "v")
		ended = ended + 1
	end)
	hooked(co)
	assert(coroutine.resume(co))
end
assert(ended == 20)

-- Objects that a finalizer brings back to life, and uses.
local revived = 0
for i = 1, 20 do
	local client = etcd.newclient { endpoints = { endpoint } }
	local stream = assert(client:watch { key = prefix .. "r" .. i })
	setmetatable({}, { __gc = function()
		assert(client:get { key = prefix })
		assert(stream:read(0) == nil)
		stream:close()
		assert(select(3, stream:read()).code == "closed")
		revived = revived + 1
	end })
end
collectgarbage()
collectgarbage()
assert(revived >= 19, revived)
