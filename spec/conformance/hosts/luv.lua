-- luv: coroutines resumed from the callbacks of libuv.

local uv = require "luv"

local function fork(f)
	coroutine.wrap(f)()
end

-- What the program ends itself while it waits in a call.
local function closed(t, client)
	local stream = assert(client:watch { key = t.prefix })
	local seen = {}
	local reader = coroutine.create(function()
		stream:read()
		seen[#seen + 1] = "closed"
	end)
	assert(coroutine.resume(reader))
	t.together {
		function()
			assert(stream:read(60))
			seen[#seen + 1] = "read"
		end,
		function()
			assert(coroutine.close(reader)) -- luacheck: ignore 143
			assert(client:put { key = t.prefix, value = "" })
		end,
	}
	t.equal({ "read" }, seen)
end

-- A caller that fails, with nobody but the loop around it.
local function failed(t, client)
	local stderr, written = io.stderr, {}
	rawset(io, "stderr", { write = function(_, ...) written[#written + 1] = table.concat { ... } end })
	t.together {
		function()
			fork(function()
				assert(client:get { key = t.prefix })
				error(setmetatable({}, { __tostring = function() error "worse" end }))
			end)
			repeat
				assert(client:get { key = t.prefix })
			until written[1]
		end,
	}
	rawset(io, "stderr", stderr)
	assert(written[1]:find("(error object is a table value)", 1, true), written[1])
end

local failures = require "spec.conformance.suite" {
	name = "luv",
	run = function(main)
		fork(main)
		uv.run()
	end,
	fork = fork,
	kill = coroutine.close and function(f) -- luacheck: ignore 143
		local co = coroutine.create(f)
		assert(coroutine.resume(co))
		assert(coroutine.close(co)) -- luacheck: ignore 143
	end or nil,
	cases = {
		{ name = "a coroutine that is closed while it reads", skip = function()
			return not coroutine.close and "this Lua closes none" -- luacheck: ignore 143
		end, run = closed },
		{ name = "a coroutine that fails is reported", run = failed },
	},
	event = function()
		local waiting
		return {
			wait = function()
				waiting = coroutine.running()
				coroutine.yield()
			end,
			set = function()
				if waiting then
					assert(coroutine.resume(waiting))
				end
			end,
		}
	end,
	leave = function()
		uv.stop()
		coroutine.yield()
	end,
}
os.exit(failures == 0 and 0 or 1, true)
