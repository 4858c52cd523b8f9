-- `make install`, `make uninstall` and `make env`, as a packager and a user run them.
-- In: this tree as `make build` has left it, and an empty folder. Out: what is in that folder, and how programs run
-- from there.

local server = require "spec.support.etcd"

local VERSION = _VERSION:match "%d%.%d"
local LUA = os.getenv "LUA" or "lua5.4"

local folder

before_each(function() folder = select(2, server.sh "mktemp -d"):gsub("%s+$", "") end)
after_each(function() server.sh("rm -rf " .. folder) end)

-- Runs a command, without what a make around the specs hands on.
local function sh(command)
	return server.sh("unset MAKEFLAGS MAKEOVERRIDES; " .. command)
end

local function make(arguments)
	local status, output = sh(("make -s %s DESTDIR=%s PREFIX=/usr"):format(arguments, folder))
	assert.are.equal(0, status, output)
end

-- The files below the folder, by their places.
local function files()
	local list = {}
	for file in select(2, server.sh(("cd %s && find . ! -type d | sort"):format(folder))):gmatch "[^\n]+" do
		list[#list + 1] = file:sub(2)
		list[list[#list]] = true
	end
	return list
end

-- Writes a file into the folder and returns its path.
local function write(name, text)
	local path = folder .. "/" .. name
	local file = assert(io.open(path, "w"))
	file:write(text)
	file:close()
	return path
end

local PROGRAM = [[
	local etcd = require "silly.store.etcd"
	require "silly.task"
	local client = etcd.newclient { endpoints = { ... } }
	print(_VERSION, client:get({ key = "install/", prefix = true }).count)
]]

describe("make install", function()
	it("carries the library, the runtime, silly-run, the pages and the licence", function()
		make "install"
		local installed = files()
		for _, file in ipairs {
			"/usr/bin/silly-run", ("/usr/lib/lua/%s/silly/store/etcd.so"):format(VERSION),
			("/usr/share/lua/%s/silly.lua"):format(VERSION), ("/usr/share/lua/%s/silly/sync/mutex.lua"):format(VERSION),
			"/usr/share/doc/silly-etcd/LICENSE", "/usr/share/doc/silly-etcd/README.md",
			"/usr/share/doc/silly-etcd/docs/reference/README.md", "/usr/share/doc/silly-etcd/library/silly.store.etcd.d.lua",
			"/usr/share/doc/silly-etcd/examples/tour.lua",
		} do
			assert.is_true(installed[file], file)
		end
	end)

	it("leaves out what is a rock of its own, where it is told to", function()
		local resty = ("/usr/share/lua/%s/silly/resty/etcd.lua"):format(VERSION)
		make "install"
		assert.is_true(files()[resty])
		sh("rm -rf " .. folder)
		make "install WITHOUT=silly/resty"
		assert.is_nil(files()[resty])
		assert.is_true(files()[("/usr/share/lua/%s/silly.lua"):format(VERSION)])
	end)

	it("has all modules of that rock, and no others", function()
		local rock = {}
		assert(loadfile("silly-etcd-resty-scm-1.rockspec", "t", rock))()
		local listed, found = rock.build.install.lua, {}
		for file in select(2, server.sh "cd lua && find silly/resty -name '*.lua'"):gmatch "[^\n]+" do
			found[file:gsub("%.lua$", ""):gsub("/", ".")] = "lua/" .. file
		end
		assert.are.same(found, listed)
	end)

	it("has programs run from there, with nothing of the tree", function()
		make "install"
		local script = write("script.lua", PROGRAM)
		local expected = { 0, _VERSION .. "\t0\n" }
		assert.are.same(expected, { sh(("cd / && env -u LUA %s/usr/bin/silly-run %s %s"):format(folder, script,
			server.endpoint())) })
		local alone = "cd / && LUA_PATH='%s/usr/share/lua/%s/?.lua' LUA_CPATH='%s/usr/lib/lua/%s/?.so' %s %s %s"
		assert.are.same(expected, { sh(alone:format(folder, VERSION, folder, VERSION, LUA, script, server.endpoint())) })
	end)

	it("builds nothing and writes nothing else", function()
		local stamp = write("stamp", "")
		write("cargo", "#!/bin/sh\nexit 1\n")
		local status, output = sh(("chmod +x %s/cargo && PATH=%s:$PATH make -s install DESTDIR=%s/in PREFIX=/usr")
			:format(folder, folder, folder))
		assert.are.same({ 0, "" }, { status, output })
		local _, written = server.sh(("find . -newer %s ! -path './.git*'"):format(stamp))
		assert.are.equal("", written)
	end)

	it("takes each place from a packager", function()
		make "install BINDIR=/b LIBDIR=/c LUADIR=/l DOCDIR=/d"
		for _, file in ipairs(files()) do
			assert.matches("^/[bcld]/", file)
		end
	end)

	it("says that the build comes first", function()
		local status, output = sh(("make -s install BUILD=build/none DESTDIR=%s"):format(folder))
		assert.are.equal(2, status)
		assert.matches("build/none/silly/store/etcd.so is missing: make build comes first", output, 1, true)
		assert.are.same({}, files())
	end)

	it("is undone by make uninstall, and keeps what others have put beside it", function()
		make "install"
		local neighbour = ("/usr/share/lua/%s/silly/net.lua"):format(VERSION)
		write(neighbour, "")
		make "uninstall"
		assert.are.same({ neighbour, [neighbour] = true }, files())
		os.remove(folder .. neighbour)
		make "install"
		make "uninstall"
		local _, left = server.sh(("find %s -name 'silly*'"):format(folder))
		assert.are.equal("", left)
	end)

	it("has silly-run run with the Lua that it is installed for, and with each other that it finds here #hosts", function()
		if server.sh "command -v lua5.1" ~= 0 then
			return pending "no lua5.1 here"
		end
		make "install LUA=lua5.4 BUILD=build/hosts/5.4"
		make "install LUA=lua5.1 BUILD=build/hosts/5.1"
		local script = write("script.lua", PROGRAM)
		for lua, version in pairs { [""] = "Lua 5.1", ["LUA=lua5.4"] = "Lua 5.4" } do
			local status, output = sh(("cd / && env -u LUA %s %s/usr/bin/silly-run %s %s"):format(lua, folder, script,
				server.endpoint()))
			assert.are.same({ 0, version .. "\t0\n" }, { status, output })
		end
	end)
end)

describe("make without a Lua", function()
	for _, target in ipairs { "build", "install", "env" } do
		it("says what to install: " .. target, function()
			local status, output = sh(("make -s %s LUA=lua5.0 DESTDIR=%s"):format(target, folder))
			assert.are.equal(2, status)
			assert.matches('lua5.0 does not run: install it (on Debian, "apt-get install lua5.0") or name another', output, 1,
				true)
		end)
	end
end)

describe("make env", function()
	-- What `package` holds after it, where the variables were set before.
	local function paths(before)
		local _, output = sh(([[unset LUA_PATH LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4; %s; eval "$(make -s env LUA=lua5.4)"
			cd / && lua5.4 -e 'print(package.path) print(package.cpath)']]):format(before))
		return output:match "^([^\n]*)\n([^\n]*)\n$"
	end

	local tree = select(2, server.sh "pwd"):gsub("\n", "")
	local path, cpath = tree .. "/lua/?.lua;" .. tree .. "/lua/?/init.lua;", tree .. "/build/5.4/?.so;"

	it("puts the tree before Lua's own places", function()
		local lua, library = paths ":"
		assert.are.equal(1, (lua:find(path .. "/", 1, true)))
		assert.are.equal(1, (library:find(cpath .. "/", 1, true)))
	end)

	it("puts the tree before the caller's places", function()
		assert.are.same({ path .. "/mine/?.lua", cpath .. "/mine/?.so" },
			{ paths "export LUA_PATH='/mine/?.lua' LUA_CPATH='/mine/?.so'" })
	end)

	it("puts the tree before the caller's places for this version alone", function()
		assert.are.same({ path .. "/mine/?.lua", cpath .. "/mine/?.so" },
			{ paths "export LUA_PATH=/not LUA_PATH_5_4='/mine/?.lua' LUA_CPATH_5_4='/mine/?.so'" })
	end)
end)
