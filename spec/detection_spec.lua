-- Which loop a client takes: the host's own, found at the first use, or the one that is chosen.
-- In: lua_States of their own, each with the traces of a host, most of them made up. Out: the name of the loop.

local server = require "spec.support.etcd"

-- What each loop is recognized by, and what it requires.
local TRACES = {
	copas = "package.loaded.copas = { wakeup = print }",
	cqueues = "package.loaded.cqueues, package.loaded['cqueues.condition'] = {}, {}",
	eco = "eco = {}",
	luv = "package.loaded.luv = {}",
	neovim = "vim = { loop = {}, schedule = print }",
	openresty = "ngx = { get_phase = print } package.loaded['ngx.semaphore'] = {}",
	silly = [[
		for _, name in ipairs { "silly.c", "silly.task", "silly.time", "silly.net.tcp" } do
			package.loaded[name] = {}
		end
	]],
	skynet = "package.loaded.skynet, package.loaded['skynet.socket'] = {}, {}",
	standalone = "within = require 'silly.task'.run ",
	tarantool = "_TARANTOOL = '3' package.loaded.fiber, package.loaded.socket = {}, {}",
}

-- Runs code, makes a client, and returns what is printed: the name of its loop, or the error.
local function loop(code, conf, environment)
	local script = ([[
		package.path, package.cpath = %q, %q
		local etcd = require "silly.store.etcd"
		%s
		within = within or function(f) f() end
		within(function()
			local ok, client = pcall(etcd.newclient, { endpoints = { "127.0.0.1:1" }, %s })
			for name, module in pairs(package.loaded) do
				if ok and module == client.loop then
					print(name:match "^silly%%.store%%.etcd%%.loops%%.(.*)$")
				end
			end
			if not ok then
				print(client)
			end
		end)
	]]):format(package.path, package.cpath, code, conf or "")
	local command = ("env -u ETCD_LUA_LOOP %s ${LUA:-lua5.4} -e '%s'"):format(environment or "", script:gsub("'", "'\\''"))
	return (select(2, server.sh(command)):gsub("\n$", ""))
end

describe("a client takes the loop", function()
	for name, traces in pairs(TRACES) do
		it("of " .. name .. " where that runs", function()
			assert.are.equal(name, loop(traces))
		end)
	end

	it("of plain Lua where nothing else runs", function()
		assert.are.equal("standalone", loop "")
	end)

	it("of the host rather than of a library in it", function()
		assert.are.equal("openresty", loop(TRACES.openresty .. TRACES.copas))
		assert.are.equal("silly", loop(TRACES.silly .. TRACES.luv))
		assert.are.equal("neovim", loop(TRACES.neovim .. TRACES.luv))
	end)

	it("of the run that it is in", function()
		assert.are.equal("standalone", loop(TRACES.standalone .. TRACES.luv .. TRACES.copas))
		assert.are.equal("luv", loop("require 'silly' " .. TRACES.luv))
	end)

	it("of what was there at the first client that found something", function()
		local earlier = "etcd.newclient { endpoints = { '127.0.0.1:1' } }"
		assert.are.equal("copas", loop(earlier .. TRACES.copas))
		assert.are.equal("luv", loop(TRACES.luv .. earlier .. TRACES.copas))
	end)

	it("that ETCD_LUA_LOOP names", function()
		assert.are.equal("copas", loop(TRACES.copas .. TRACES.luv, nil, "ETCD_LUA_LOOP=copas"))
		assert.are.equal("luv", loop(TRACES.copas .. TRACES.luv, nil, "ETCD_LUA_LOOP=luv"))
		assert.are.equal("luv", loop(TRACES.luv, nil, "ETCD_LUA_LOOP="))
	end)

	it("that the program chooses", function()
		local both = TRACES.copas .. TRACES.luv
		assert.are.equal("luv", loop(both .. "etcd.use 'luv'", nil, "ETCD_LUA_LOOP=copas"))
		assert.are.equal("luv", loop(both .. "etcd.use 'copas'", "loop = 'luv'"))
		assert.are.equal("standalone", loop(both, "loop = 'standalone'"))
	end)
end)

describe("a loop is refused", function()
	local KNOWN = "there are: copas, cqueues, eco, luv, neovim, openresty, silly, skynet, standalone, tarantool"

	it("that nobody knows, and all that are known are named", function()
		assert.are.equal("newclient: field 'loop' 'tractor' is unknown; " .. KNOWN, loop("", "loop = 'tractor'"))
		assert.are.equal("newclient: field 'loop' 'tractor' is unknown; " .. KNOWN .. " (ETCD_LUA_LOOP says so)",
			loop("", nil, "ETCD_LUA_LOOP=tractor"))
		assert.are.equal("false\tuse: the loop 'tractor' is unknown; " .. KNOWN .. "\nstandalone",
			loop "print(pcall(etcd.use, 'tractor'))")
	end)

	it("whose host is not there, until it is", function()
		local message = "'skynet' cannot be used here: module 'skynet' not found"
		assert.are.equal("newclient: field 'loop' " .. message, loop("", "loop = 'skynet'"))
		assert.are.equal("false\tuse: the loop " .. message .. "\nskynet",
			loop("print(pcall(etcd.use, 'skynet'))" .. TRACES.skynet))
	end)

	it("whose host is too old", function()
		assert.are.equal("newclient: field 'loop' 'copas' cannot be used here: copas 4 or later is needed, "
			.. "this is Copas 1.1.7 (found by itself; `etcd.use` takes another)",
			loop "package.loaded.copas = { _VERSION = 'Copas 1.1.7' }")
	end)

	it("that is no loop", function()
		assert.are.equal("newclient: field 'loop' must be a name or a table, got a number", loop("", "loop = 1"))
		assert.are.equal("newclient: field 'loop' lacks the function 'current'", loop("", "loop = {}"))
	end)
end)
