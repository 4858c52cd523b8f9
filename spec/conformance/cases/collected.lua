-- The collector: what the program has forgotten is closed, and nothing else is.

local etcd = require "silly.store.etcd"

local function collect()
	for _ = 1, 3 do
		collectgarbage()
	end
end

-- Has the collector do a whole cycle wherever something is made, and calls `f`.
local function hurried(f)
	if _VERSION == "Lua 5.5" then
		local mode = collectgarbage "incremental"
		local pause, stepmul = collectgarbage("param", "pause", 0), collectgarbage("param", "stepmul", 0)
		local stepsize = collectgarbage("param", "stepsize", 1)
		collectgarbage()
		f()
		collectgarbage("param", "pause", pause)
		collectgarbage("param", "stepmul", stepmul)
		collectgarbage("param", "stepsize", stepsize)
		collectgarbage(mode)
	elseif _VERSION == "Lua 5.4" then
		local mode = collectgarbage("incremental", 1, 1000, 1)
		collectgarbage()
		f()
		collectgarbage("incremental", 200, 100, 13)
		collectgarbage(mode)
	else
		local pause, stepmul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
		collectgarbage()
		f()
		collectgarbage("setpause", pause)
		collectgarbage("setstepmul", stepmul)
	end
end

-- Calls `finalize` once the collector comes by.
local function drop(finalize)
	local newproxy = rawget(_G, "newproxy")
	if newproxy then
		getmetatable(newproxy(true)).__gc = finalize
	else
		setmetatable({}, { __gc = finalize })
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
