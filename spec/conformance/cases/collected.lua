-- The collector: what the program has forgotten is closed, and nothing else is.

local collector = require "spec.support.collector"
local etcd = require "silly.store.etcd"

local drop, hurried = collector.drop, collector.hurried

local function collect()
	for _ = 1, 3 do
		collectgarbage()
	end
end

return {
	{ name = "forgotten clients and watches go", run = function(t)
		local forgotten = setmetatable({}, { __mode = "v" })
		local function use()
			local client = t.client()
			local stream = assert(client:watch { key = t.prefix })
			assert(client:put { key = t.prefix, value = "" })
			assert(stream:read(60))
			forgotten.client, forgotten.stream = client, stream
		end
		use()
		collect()
		t.equal(nil, forgotten.client)
		t.equal(nil, forgotten.stream)
	end },

	{ name = "a watch keeps its client, and a read keeps its watch", skip = function(host)
		return not host.fork and "calls block here"
	end, run = function(t, client)
		local seen
		t.together {
			function()
				seen = assert(assert(t.client():watch { key = t.prefix }):read(60)).events[1].kv.value
			end,
			function()
				repeat
					collect()
					assert(client:put { key = t.prefix, value = "seen" })
				until seen
			end,
		}
		t.equal("seen", seen)
	end },

	{ name = "a call in a finalizer takes no answer from others", skip = function(host)
		return host.careless and "this loop cannot tell"
	end, run = function(t, client)
		local finalized = 0
		local function finalize()
			finalized = finalized + 1
			pcall(client.get, client, t.prefix)
		end
		hurried(function()
			local count = 0
			repeat
				drop(finalize)
				assert(client:get(t.prefix))
				count = count + 1
			until count >= 50 and finalized > 0
		end)
	end },

	{ name = "a refused call in a finalizer disturbs no client that is being made", run = function(_, client)
		local refused = 0
		local function finalize()
			local response, problem = client:get(5)
			refused = refused + (not response and problem:find("^get: ") and 1 or 0)
		end
		hurried(function()
			local count = 0
			repeat
				drop(finalize)
				etcd.newclient { endpoints = { "127.0.0.1:1", "127.0.0.1:2" } }:close()
				count = count + 1
			until count >= 2000 and refused > 100
		end)
	end },

	{ name = "calls go on while the collector works", run = function(t, client)
		local functions = {}
		for i = 1, 20 do
			functions[i] = function()
				for _ = 1, 5 do
					assert(client:put { key = t.prefix .. i, value = ("x"):rep(1000) })
					collectgarbage "step"
				end
			end
		end
		functions[21] = collect
		t.together(functions)
	end },
}
