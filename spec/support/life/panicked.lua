-- Panics in Rust: the clock cannot be read, which its standard library takes for impossible. In: endpoint.
-- Out: an error unless each panic is a Lua error or a failed call, and all works afterwards.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"

local endpoint = ...

local client = etcd.newclient { endpoints = { endpoint } }
assert(client:get { key = "a" })

-- On the Lua thread, in a method of the library.
host.badclock(1, false)
local ok, panic = pcall(core.now, core)
assert(not ok and tostring(panic):find("InvalidInput", 1, true), tostring(panic))
assert(core:now() > 0)
assert(client:get { key = "a" })

-- On the runtime's thread, wherever it reads the clock: in an operation, in a background task, in tokio itself. What
-- is under way then may be lost with it; whatever is asked of a new client is not.
local pump = function() end
local loop = {
	current = function()
		local co, main = coroutine.running()
		return not main and co or nil
	end,
	park = coroutine.yield,
	wake = function(co) assert(coroutine.resume(co)) end,
	start = function(_, func) pump = func end,
}
for n = 1, 30 do
	local wounded = etcd.newclient { endpoints = { endpoint }, loop = loop }
	host.badclock(n, true)
	assert(coroutine.resume(coroutine.create(function()
		wounded:watch { key = "a" }
		while host.clockleft(true) > 0 do
			wounded:get { key = "a" }
		end
	end)))
	while host.clockleft(true) > 0 do
		core:wait(0.1)
		pump()
	end
	local fresh = etcd.newclient { endpoints = { endpoint } }
	assert(fresh:get { key = "a" })
	fresh:close()
	wounded:close()
end
