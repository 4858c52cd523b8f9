-- Opens and closes lua_States with everything under way, in one process. In: what torn.lua takes, how often.
-- Out: an error unless the process ends up with one thread of the library and no more descriptors than after the first.

local host = require "host"
require "silly.store.etcd"
local core = require "silly.store.etcd.core"

local endpoint, silent, prefix, times = ...

local function round()
	assert(host.run("spec/support/life/torn.lua", endpoint, silent, prefix))
end

local function descriptors()
	local threads, open = host.usage()
	assert(threads == 2, threads)
	return open
end

round()
local before = descriptors()
for _ = 2, tonumber(times) do
	round()
end
-- The library's thread closes the connections after the lua_State has gone.
local deadline = core:monotonic() + 60000
while descriptors() > before do
	assert(core:monotonic() < deadline, descriptors() .. " descriptors are open, " .. before .. " after the first round")
	core:wait(0.05)
end
