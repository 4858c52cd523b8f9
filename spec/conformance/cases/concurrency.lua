-- Many coroutines at once: each waits for its own answers only.

local function blocks(host)
	return not host.fork and "calls block here"
end

return {
	{ name = "200 coroutines get their own answers", run = function(t, client)
		local functions, seen = {}, {}
		for i = 1, 200 do
			functions[i] = function()
				local key = t.prefix .. i
				for round = 1, 3 do
					assert(client:put { key = key, value = i .. "/" .. round })
					t.equal(i .. "/" .. round, assert(client:get { key = key }).kvs[1].value)
				end
				seen[#seen + 1] = i
			end
		end
		t.together(functions)
		table.sort(seen)
		t.equal(200, #seen)
		t.equal({ 1, 200 }, { seen[1], seen[200] })
		t.equal(200, assert(client:get { key = t.prefix, prefix = true, count_only = true }).count)
	end },

	{ name = "others run while a call is under way", skip = blocks, run = function(t, client)
		local seen = {}
		local function ask()
			seen[#seen + 1] = "asks"
			assert(client:get { key = t.prefix })
			seen[#seen + 1] = "knows"
		end
		t.together { ask, ask, ask }
		t.equal({ "asks", "asks", "asks", "knows", "knows", "knows" }, seen)
	end },

	{ name = "a coroutine's calls happen in its order", run = function(t, client)
		local functions, last = {}, {}
		for i = 1, 10 do
			functions[i] = function()
				for _ = 1, 20 do
					local revision = assert(client:put { key = t.prefix .. i, value = "" }).header.revision
					assert(revision > (last[i] or 0))
					last[i] = revision
				end
			end
		end
		t.together(functions)
		for _, kv in ipairs(assert(client:get { key = t.prefix, prefix = true }).kvs) do
			t.equal(20, kv.version)
		end
	end },

	{ name = "coroutines start coroutines", skip = blocks, run = function(t, client)
		local count = 0
		local function grow(depth)
			return function()
				assert(client:put { key = t.prefix .. depth, value = "" })
				count = count + 1
				if depth > 0 then
					t.together { grow(depth - 1), grow(depth - 1) }
				end
			end
		end
		t.together { grow(4) }
		t.equal(31, count)
	end },

	{ name = "a call inside pcall suspends its caller", skip = function(host)
		return blocks(host) or not host.pcall and "this Lua cannot"
	end, run = function(t, client)
		local seen = {}
		local function ask()
			local ok, message = t.host.pcall(function()
				seen[#seen + 1] = "asks"
				assert(client:get { key = t.prefix })
				seen[#seen + 1] = "knows"
				error "wanted"
			end)
			t.equal(false, ok)
			assert(message:find("wanted", 1, true), message)
		end
		t.together { ask, ask }
		t.equal({ "asks", "asks", "knows", "knows" }, seen)
	end },

	{ name = "n6: etcd.go starts coroutines that suspend themselves only", run = function(t, client)
		local event, started, ended = t.host.event and t.host.event(), 0, 0
		for i = 1, 3 do
			t.etcd.go(function(...)
				started = started + 1
				local count, key, value = select("#", ...), ...
				t.equal(3, count)
				assert(client:put { key = key, value = value })
				t.equal(event and 3 or i, started)
				ended = ended + 1
				if event and ended == 3 then
					event.set()
				end
			end, t.prefix .. i, tostring(i), nil)
		end
		while ended < 3 do
			event.wait()
		end
		t.equal(3, assert(client:get { key = t.prefix, prefix = true, count_only = true }).count)
		local ok, problem = pcall(t.etcd.go, "f")
		t.equal({ false, "go: the first argument must be a function, got a string" }, { ok, problem })
	end },

	{ name = "several clients share the loop", run = function(t)
		local functions = {}
		for i = 1, 5 do
			local client = t.client()
			functions[i] = function()
				for _ = 1, 5 do
					assert(client:put { key = t.prefix .. i, value = "" })
				end
				client:close()
			end
		end
		t.together(functions)
	end },
}
