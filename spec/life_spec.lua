-- Process life: what the host's process may do to the module, and the module to it. In: the hosts' program in
-- spec/support/host.c, built here, and its scripts in spec/support/life/. Out: each script ends well, or says why not.

local server = require "spec.support.etcd"

local HANG = 300 -- seconds after which a script that hangs is killed

local LUA = "lua" .. _VERSION:match("%d+%.%d+")
local HOST = "build/" .. LUA .. "-host"

-- Runs a script of spec/support/life/ by the words of a command.
local function run_by(command, script, ...)
	local words = {
		"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, "timeout", HANG, table.unpack(command),
	}
	for _, word in ipairs { "spec/support/life/" .. script .. ".lua", ... } do
		words[#words + 1] = word
	end
	local status, output = server.sh("'" .. table.concat(words, "' '") .. "'")
	assert(status == 0, ("%s: exit status %d\n%s"):format(script, status, output))
	return output
end

-- The same in the host.
local function run(...)
	return run_by({ HOST }, ...)
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
	it("P1: is a Lua error, or costs no more than what was under way", function()
		run("panicked", endpoint)
	end)
end)

describe("without memory", function()
	it("P2: require raises an error, at whatever size, and works when there is more", function()
		local worked = os.tmpname()
		-- Near the least size it may fail with a little more: a collection in an emergency neither shrinks stacks nor
		-- calls finalizers, so what is free depends on where in its cycle the collector was.
		local works = {}
		for bytes = 0, 256 * 1024, 2048 do
			os.remove(worked)
			run("limited", endpoint, bytes, worked)
			local file = io.open(worked)
			if file then
				file:close()
			end
			works[#works + 1] = file ~= nil
		end
		os.remove(worked)
		assert.is_false(works[1])
		assert.is_true(works[#works])
	end)

	for _, growths in ipairs { 1, 2, 1000000000 } do
		it("P2: at any allocation, for the next " .. growths .. ", calls work or raise an error", function()
			run("starved", endpoint, prefix, growths)
		end)
	end
end)

describe("lua_close", function()
	it("P3: leaves nothing of 200 states with calls, watches and leases under way", function()
		run("torn_often", endpoint, silent.endpoint, prefix, 200)
	end)
end)

describe("the collector", function()
	for _, mode in ipairs { "generational", "incremental", "hook" } do
		it("P4: at its most aggressive changes no answer: " .. mode, function()
			run("collected", endpoint, prefix, mode)
		end)
	end
end)

describe("a forked child #leaks", function()
	it("P5: has no part in the parent's clients, and works with its own", function()
		run("forked", endpoint, prefix, 100)
	end)

	it("P5: has its run end, though a task waited for the parent's response", function()
		run("forked_run", silent.endpoint)
	end)
end)

describe("8 lua_States in each of 8 threads", function()
	it("P6: work side by side", function()
		run("threaded", endpoint, prefix, 8, 8)
	end)
end)

describe("signals", function()
	for _, how in ipairs { "call", "early", "sleep" } do
		it("P8: SIGINT ends a wait: " .. how, function()
			run("signalled", how, silent.endpoint)
		end)
	end

	it("P8: reach no thread of the library, which handles none and raises no SIGPIPE", function()
		run("masked", endpoint)
	end)
end)

describe("100000 calls, 500 clients and 2000 watches #memory", function()
	it("P9, W8: leave no memory, descriptor or thread behind", function()
		run("used", endpoint, prefix, 100000, 500, 2000)
	end)
end)

describe("a watch that nobody reads #memory", function()
	it("W6: costs 16 MiB at the most of the 40 that come, and delays no other", function()
		run("slow", endpoint, prefix)
	end)
end)

describe("a process that stands still for longer than its lease lives #leaks", function()
	it("L4: hears of the loss before it writes", function()
		run("stopped", endpoint, prefix)
	end)
end)

describe("a wall clock that jumps by an hour #preload", function()
	it("L5: changes nothing for leases, watches and deadlines", function()
		local clock = os.tmpname()
		finally(function() os.remove(clock) end)
		local file = assert(io.open(clock, "w"))
		file:write("+0\n")
		file:close()
		local _, library = server.sh "faketime -f +0 printenv LD_PRELOAD"
		run_by({
			"env", "FAKETIME_TIMESTAMP_FILE=" .. clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
			"LD_PRELOAD=" .. library:match "%S+", LUA,
		}, "stepped", endpoint, silent.endpoint, prefix, clock)
	end)
end)

describe("100,000 pairs in one answer", function()
	it("P10: arrive as they were written, and integers to the last of 64 bits", function()
		run("large", endpoint, prefix, 100000)
	end)
end)

describe("a password #memory", function()
	it("S4: shows in nothing that the library says, and leaves memory when its client is closed", function()
		local node = server.start()
		finally(function() node:kill() end)
		local ctl = "ETCDCTL_API=3 etcdctl --endpoints " .. node.endpoint
		local password = "open-sesame-1001-and-a-good-deal-more"
		local enable = "%s user add root:%s && %s user grant-role root root && %s auth enable"
		local status, output = server.sh(enable:format(ctl, password, ctl, ctl))
		assert(status == 0, output)
		output = run("secret", node.endpoint, endpoint, password:reverse())
		assert.is_nil(output:find("sesame", 1, true))
		-- It said what there is to say.
		for _, expected in ipairs {
			"authentication failed", "invalid auth token", "silly.store.etcd.client: ", "excludes", "is not an address",
		} do
			assert.is_truthy(output:find(expected, 1, true), expected)
		end
	end)
end)

describe("odd arguments", function()
	local seed = os.time()

	it("P11: are refused, and reach no server: seed " .. seed, function()
		-- Nobody else may change what it holds: not even a lease that ends.
		local store = server.start()
		run("odd", store.endpoint, 10000, seed)
		store:kill()
	end)
end)
