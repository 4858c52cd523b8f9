-- Process life: what the host's process may do to the module, and the module to it. In: the hosts' program in
-- spec/support/host.c, built here, and its scripts in spec/support/life/. Out: each script ends well, or says why not.
-- The numbers are those of the goals: panics P1, memory P2, lua_close P3, the collector P4, fork P5, threads P6,
-- signals P8, leaks P9, odd arguments P11.

local server = require "spec.support.etcd"

local HANG = 300 -- seconds after which a script that hangs is killed

local LUA = "lua" .. _VERSION:match("%d+%.%d+")
local HOST = "build/" .. LUA .. "-host"

-- Runs a script of spec/support/life/ in the host.
local function run(script, ...)
	local words = {
		"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, "timeout", HANG, HOST,
		 "spec/support/life/" .. script .. ".lua", ...,
	}
	local status, output = server.sh("'" .. table.concat(words, "' '") .. "'")
	assert(status == 0, ("%s: exit status %d\n%s"):format(script, status, output))
	return output
end

local silent, endpoint, prefix

setup(function()
	local build = "mkdir -p build && cc -std=gnu11 -Wall -Wextra -Werror -O1 -g -pthread -rdynamic $HOST_FLAGS "
		.. "-I/usr/include/%s -o %s spec/support/host.c -l%s"
	local status, output = server.sh(build:format(LUA, HOST, LUA))
	assert(status == 0, output)
	endpoint = server.endpoint()
	silent = server.start()
	silent:pause()
end)

teardown(function()
	silent:kill()
end)

before_each(function()
	prefix = server.prefix()
end)

describe("a panic in Rust #leaks", function()
	it("is a Lua error, or costs no more than what was under way (P1)", function()
		run("panicked", endpoint)
	end)
end)

describe("without memory", function()
	it("require raises an error, at whatever size, and works when there is more (P2)", function()
		local worked = os.tmpname()
		local first
		for bytes = 0, 128 * 1024, 1024 do
			os.remove(worked)
			run("limited", endpoint, bytes, worked)
			local file = io.open(worked)
			if file then
				file:close()
				first = first or bytes
			else
				assert.is_nil(first, "it works with less")
			end
		end
		os.remove(worked)
		assert.is_true(first > 0)
	end)

	for _, growths in ipairs { 1, 2, 1000000000 } do
		it("at any allocation, for the next " .. growths .. ", calls work or raise an error (P2)", function()
			run("starved", endpoint, prefix, growths)
		end)
	end
end)

describe("lua_close", function()
	it("leaves nothing of 200 states with calls, watches and leases under way (P3)", function()
		run("torn_often", endpoint, silent.endpoint, prefix, 200)
	end)
end)

describe("the collector", function()
	for _, mode in ipairs { "generational", "incremental", "hook" } do
		it("at its most aggressive changes no answer: " .. mode .. " (P4)", function()
			run("collected", endpoint, prefix, mode)
		end)
	end
end)

describe("a forked child #leaks", function()
	it("has no part in the parent's clients, and works with its own (P5)", function()
		run("forked", endpoint, prefix, 100)
	end)
end)

describe("8 lua_States in each of 8 threads", function()
	it("work side by side (P6)", function()
		run("threaded", endpoint, prefix, 8, 8)
	end)
end)

describe("signals", function()
	for _, how in ipairs { "call", "sleep" } do
		it("SIGINT ends a wait: " .. how .. " (P8)", function()
			run("signalled", how, silent.endpoint)
		end)
	end

	it("reach no thread of the library, which handles none and raises no SIGPIPE (P8)", function()
		run("masked", endpoint)
	end)
end)

describe("100000 calls and 500 clients #memory", function()
	it("leave no memory, descriptor or thread behind (P9)", function()
		run("used", endpoint, prefix, 100000, 500)
	end)
end)

describe("odd arguments", function()
	local seed = os.time()

	it("are refused, and reach no server: seed " .. seed .. " (P11)", function()
		-- Nobody else may change what it holds: not even a lease that ends.
		local store = server.start()
		run("odd", store.endpoint, 10000, seed)
		store:kill()
	end)
end)
