-- Hosts: the conformance suite in each host and version of Lua that is installed here.
-- In: spec/conformance/run, which names them and starts each as a process, and the libraries of `make libraries`.
-- Out: one test for each; pending, with what is missing, where a host is not installed. And the sample of each host, in
-- examples/hosts/, follows a configuration through faults. A library is no good for another version, and says so.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

describe("the conformance suite #hosts", function()
	local _, cells = server.sh "spec/conformance/run --cells"
	for cell in cells:gmatch "[^\n]+" do
		local host, version = cell:match "^(%S+) (%S+)$"
		it("passes in " .. host .. " on " .. version, function()
			local status, output = server.sh("spec/conformance/run " .. cell)
			if status == 77 then
				return pending(output)
			end
			local cases, passed = output:match "\n1%.%.(%d+)\n(%d+) passed, 0 failed, %d+ skipped\n$"
			assert(status == 0 and passed, output)
			local seen = select(2, output:gsub("%f[^\n]ok %d+ ", ""))
			assert.are.equal(tonumber(cases), seen)
			assert.is_true(tonumber(passed) > 30)
		end)
	end
end)

describe("the library #hosts", function()
	local VERSIONS = { "5.1", "5.2", "5.3", "5.4", "5.5" }

	for _, built in ipairs(VERSIONS) do
		it("for " .. built .. " is refused by every other version", function()
			for _, version in ipairs(VERSIONS) do
				local lua = version == "5.5" and "build/lua5.5" or "lua" .. version
				if version ~= built and server.sh("command -v " .. lua) == 0 then
					local status, output = server.sh(("LUA_CPATH='build/hosts/%s/?.so' %s -e 'require \"silly.store.etcd\"' 2>&1")
						:format(built, lua))
					assert.are.equal(1, status)
					-- Of these two the loader notices nothing.
					local words = built == "5.4" and version == "5.5" and "is built for Lua 5.4, this is Lua 5.5"
						or "undefined symbol: lua"
					assert.is_truthy(output:find(words, 1, true), output)
				end
			end
		end)
	end

	for lua, version in pairs {
		["lua5.1"] = "5.1", luajit = "5.1", ["lua5.2"] = "5.2", ["lua5.3"] = "5.3", ["lua5.4"] = "5.4",
		["build/lua5.5"] = "5.5",
	} do
		it("makes tables of what prost decodes, on " .. lua, function()
			if server.sh("command -v " .. lua) ~= 0 then
				return pending(lua .. " is not installed")
			end
			local status, output = server.sh(("LUA_CPATH='build/hosts/%s/?.so' %s spec/support/tables.lua 3000 2>&1")
				:format(version, lua))
			assert.are.equal(0, status, output)
		end)
	end

	it("gives ids that the reference's sample prints in hexadecimal on every version", function()
		local file = assert(io.open "docs/reference/errors.md")
		local sample
		for block in file:read("*a"):gmatch "```lua\n(.-)```" do
			sample = block:find("local function hex", 1, true) and block or sample
		end
		file:close()
		local path = os.tmpname()
		file = assert(io.open(path, "w"))
		file:write((sample:gsub("127%.0%.0%.1:2379", server.endpoint())))
		file:close()
		for lua, version in pairs { ["lua5.1"] = "5.1", luajit = "5.1", ["lua5.2"] = "5.2", ["lua5.4"] = "5.4" } do
			if server.sh("command -v " .. lua) == 0 then
				local status, output = server.sh(("LUA_CPATH='build/hosts/%s/?.so' %s %s"):format(version, lua, path))
				assert.are.same({ 0, "7c0ffee123456789\n" }, { status, output }, lua)
			end
		end
		os.remove(path)
	end)

	it("of a debug build reads its Lua half from the folder that SILLY_ETCD_LUA names", function()
		local folder = os.tmpname()
		os.remove(folder)
		assert.are.equal(0, (server.sh(("mkdir %s && cp -r lua/silly %s"):format(folder, folder))))
		assert.are.equal(0, (server.sh(("echo 'error \"edited\"' > %s/silly/store/etcd/client.lua"):format(folder))))
		local _, output = server.sh(([[SILLY_ETCD_LUA=%s LUA_CPATH='build/hosts/5.4/?.so' lua5.4 -e '
			print(pcall(require, "silly.store.etcd"))
		' 2>&1]]):format(folder))
		server.sh("rm -r " .. folder)
		assert.matches("silly/store/etcd/client.lua:1: edited", output, 1, true)
	end)

	it("that cannot be loaded says why in text", function()
		for _, version in ipairs { "5.1", "5.4" } do
			local status, output = server.sh(([[LUA_CPATH='build/hosts/%s/?.so' lua%s -e '
				local load = require
				function require(name) error("no " .. name .. " here", 0) end
				print(pcall(load, "silly.store.etcd"))
			' 2>&1]]):format(version, version))
			assert.are.equal(0, status)
			assert.matches("^false\t.*no silly.store.etcd.module here", output)
		end
	end)
end)

describe("the sample #hosts", function()
	local VERSIONS = { neovim = "luajit", tarantool = "luajit", silly = "5.5", skynet = "5.5" }

	local node, client

	setup(function() node = server.start() end)
	teardown(function() node:stop() end)

	before_each(function()
		client = etcd.newclient { endpoints = { node.endpoint } }
		assert(client:put { key = "config/port", value = "80" })
		assert(client:put { key = "config/host", value = "here" })
	end)

	after_each(function() client:close() end)

	-- Starts a sample. Returns a function that holds it to the changes that it prints, and its pipe; or what is missing.
	local function start(host)
		local pipe = io.popen(("ETCD_ENDPOINTS=%s stdbuf -oL spec/conformance/run %s %s examples/hosts/%s.lua 2>&1")
			:format(node.endpoint, host, VERSIONS[host] or "5.4", host))
		local first = pipe:read "*l" or ""
		if first:find "^missing: " then
			pipe:close()
			return nil, first
		end
		assert.matches("unavailable: connection refused", first, 1, true)
		local function prints(...)
			for _, expected in ipairs { ... } do
				local line
				repeat
					line = pipe:read "*l"
				until not (line and line:find("unavailable: ", 1, true)) -- it has tried again
				assert.are.equal(expected, line)
			end
		end
		return prints, pipe
	end

	for host in select(2, server.sh "ls examples/hosts/*.lua"):gmatch "([^/]+)%.lua" do
		it("of " .. host .. " follows a configuration: etcd down at the start, a restart, a compaction", function()
			node:stop()
			local prints, pipe = start(host)
			node:start()
			if not prints then
				return pending(pipe)
			end
			prints("config/host\there", "config/port\t80")

			node:kill()
			node:start()
			assert(client:put { key = "config/port", value = "8080" })
			prints "config/port\t8080"

			node:cut(function(endpoint)
				local other <close> = etcd.newclient { endpoints = { endpoint } }
				assert(other:delete { key = "config/host" })
				local last = assert(other:put { key = "config/port", value = "9090" }).header.revision
				assert(other:compact { revision = last, physical = true })
			end)
			prints("config/port\t9090", "config/host\tnil")

			assert(client:delete { key = "config/port" })
			prints "config/port\tnil"
			assert.is_nil(pipe:read "*l")
			assert.is_true(pipe:close())
		end)
	end
end)
