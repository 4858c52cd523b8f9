-- Panics in Rust: the clock cannot be read, which its standard library takes for impossible. In: endpoint.
-- Out: an error unless each panic is a Lua error or a failed call, and all works afterwards.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local loop = require "spec.support.life.loop"

local endpoint = ...

local client = etcd.newclient { endpoints = { endpoint } }
assert(client:get { key = "a" })

-- On the Lua thread, in a method of the library.
host.badclock(1, false)
local ok, panic = pcall(core.now, core)
assert(not ok and tostring(panic):find("InvalidInput", 1, true), tostring(panic))
assert(core:now() > 0)
assert(client:get { key = "a" })

-- Where tokio is driven: by the library's thread, as long as Lua does not wait, or by Lua's. Wherever the clock is
-- read: in an operation, in a background task, in tokio itself. What is under way then may fail with it, but ends;
-- whatever is asked of a new client works.
for n = 1, 30 do
	for _, own in ipairs { true, false } do
		local wounded = etcd.newclient { endpoints = { endpoint }, loop = loop }
		local ended = false
		host.badclock(n, own)
		assert(coroutine.resume(coroutine.create(function()
			wounded:watch { key = "a" }
			while host.clockleft(own) > 0 do
				wounded:get { key = "a" }
			end
			ended = true
		end)))
		while host.clockleft(own) > 0 do
			if not own then
				pcall(core.wait, core, 0.1)
			end
			loop.pump()
		end
		while not ended do
			core:wait(0.1)
			loop.pump()
		end
		local fresh = etcd.newclient { endpoints = { endpoint } }
		assert(fresh:get { key = "a" })
		fresh:close()
		wounded:close()
	end
end
