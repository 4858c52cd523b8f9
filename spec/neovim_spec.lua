-- What a user of Neovim meets: Ctrl-C while a call blocks, and the installation of the README.
-- In: scripts that Neovim runs without a window, keys from a second one. Out: what they print. Pending where Neovim is
-- not installed.

local server = require "spec.support.etcd"

local NVIM = "XDG_CONFIG_HOME=%s timeout 60 nvim --headless -i NONE -n "

local there = server.sh "command -v nvim" == 0
local test = there and it or pending

describe("in Neovim #hosts", function()
	local directory, silent

	setup(function()
		directory = select(2, server.sh "mktemp -d"):match "%S+"
		silent = server.start()
		silent:pause()
	end)

	teardown(function()
		silent:kill()
		server.sh("rm -r " .. directory)
	end)

	-- Runs a script, types Ctrl-C for each line `type`, and returns the other lines.
	local function run(script)
		local path, socket = directory .. "/script.lua", directory .. "/socket"
		local file = assert(io.open(path, "w"))
		assert(file:write(([[
			package.cpath = "build/hosts/5.1/?.so;" .. package.cpath
			local etcd = require "silly.store.etcd"
			local function say(...)
				io.stdout:write(table.concat({ ... }, " "), "\n")
				io.stdout:flush()
			end
			local function newclient(endpoint)
				return etcd.newclient { endpoints = { endpoint }, timeout = 600 }
			end
			local mute, client = newclient %q, newclient %q
		]]):format(silent.endpoint, server.endpoint()), script))
		file:close()
		local pipe = io.popen((NVIM .. "-u NONE --listen %s -c 'luafile %s' -c 'qall!' 2>&1"):format(directory, socket, path))
		local lines = {}
		for line in pipe:lines() do
			if line:find "type" then
				server.sh(("nvim --server %s --remote-send '<C-c>'"):format(socket))
			else
				lines[#lines + 1] = line:match "^[^\r]*"
			end
		end
		pipe:close()
		return lines
	end

	test("n6: Ctrl-C ends a call that blocks, and the client works on", function()
		assert.are.same({ "put: cancelled: interrupted by Ctrl-C", "cancelled maybe", "answer" }, run [[
			-- It runs while the call waits.
			vim.schedule(function() say "type" end)
			local answer, message, info = mute:put { key = "a", value = "" }
			assert(answer == nil)
			say(message)
			say(info.code, info.applied)
			assert(client:get { key = "a" })
			say "answer"
		]])
	end)

	test("n6: Ctrl-C ends a read that blocks, and it loses nothing", function()
		assert.are.same({ "cancelled no", "value" }, run [[
			local key = vim.fn.tempname()
			local stream = assert(client:watch { key = key })
			vim.schedule(function() say "type" end)
			local _, _, info = stream:read()
			say(info.code, info.applied)
			assert(client:put { key = key, value = "value" })
			say(assert(stream:read()).events[1].kv.value)
		]])
	end)

	test("n6: Ctrl-C ends a call in a coroutine that cannot be suspended, and no other", function()
		assert.are.same({ "cancelled", "value" }, run [[
			local key, other = vim.fn.tempname(), nil
			etcd.go(function()
				local stream = assert(client:watch { key = key })
				other = assert(stream:read()).events[1].kv.value
			end)
			etcd.go(function()
				table.sort({ 2, 1 }, function(a, b)
					vim.schedule(function() say "type" end)
					say(select(3, mute:get { key = "a" }).code)
					return a < b
				end)
			end)
			vim.wait(60000, function()
				assert(client:put { key = key, value = "value" })
				return other
			end)
			say(other)
		]])
	end)

	test("n6: the installation and the sample of the README work, also where etcd starts later", function()
		local file = assert(io.open "README.md")
		local readme = file:read "*a"
		file:close()
		local install = assert(readme:match "\n    (mkdir [^\n]*nvim[^\n]*)")
		install = install:gsub("~/%.config", directory):gsub("build/", "build/hosts/")
		assert.are.equal(0, (server.sh(install)))
		local late = server.start()
		finally(function() late:kill() end)
		late:kill()
		local sample = assert(readme:match "```lua nvim\n(.-)```"):gsub("127%.0%.0%.1:2379", late.endpoint)
		file = assert(io.open(directory .. "/nvim/init.lua", "w"))
		file:write(sample)
		file:close()
		local pipe = io.popen((NVIM .. "-c 'lua %s' -c 'qall!' 2>&1"):format(directory, [[
			vim.wait(50000, function()
				local ok, message = pcall(vim.cmd, "Note hello")
				io.stdout:write(ok and "" or message .. "\n")
				return vim.fn.execute "messages":find(vim.fn.hostname() .. ": hello", 1, true)
			end, 20)
		]]))
		local lines = {}
		for line in pipe:lines() do
			if not lines[1] then
				late:start()
			end
			lines[#lines + 1] = line
		end
		pipe:close()
		assert.matches("put: unavailable: connection refused.*note/[^\n]+: hello", table.concat(lines, "\n"))
	end)
end)
