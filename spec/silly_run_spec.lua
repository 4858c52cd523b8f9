-- bin/silly-run: scripts as a user runs them.
-- In: a script in a temporary file, arguments, the interpreter in $LUA. Out: stdout, stderr and the exit status.

local function contents(path)
	local file = assert(io.open(path))
	local text = file:read("*a")
	file:close()
	return text
end

-- Run a shell command line and return its stdout, stderr and exit status.
local function sh(line)
	local stderr = os.tmpname()
	local pipe = assert(io.popen("{ " .. line .. "\n} 2>" .. stderr .. "; printf '\\n%d' $?"))
	local out, status = pipe:read("*a"):match("^(.*)\n(%d+)$")
	pipe:close()
	local err = contents(stderr)
	os.remove(stderr)
	return out, err, tonumber(status)
end

local script

before_each(function() script = os.tmpname() end)
after_each(function() os.remove(script) end)

-- Run `source` with the words of `args` as its arguments.
local function run(source, args)
	local file = assert(io.open(script, "w"))
	file:write(source)
	file:close()
	return sh("bin/silly-run " .. script .. " " .. (args or ""))
end

describe("bin/silly-run", function()
	it("runs the main chunk as a task, and the tasks that it forked to their end", function()
		local out, err, status = run [[
			local silly = require "silly"
			local task = require "silly.task"
			task.fork(function()
				silly.sleep(2)
				print("forked")
			end)
			silly.sleep(1)
			print("main", task.status(task.running()))
		]]
		assert.are.equal("main\tRUN\nforked\n", out)
		assert.are.equal("", err)
		assert.are.equal(0, status)
	end)

	it("sets arg and ... as lua does", function()
		local out, _, status = run([[
			print(select("#", ...), ...)
			print(#arg, arg[0], arg[1], arg[2], arg[3], arg[4])
			print(arg[-1], arg[-3])
		]], "one 'two words' ''")
		assert.are.equal("3\tone\ttwo words\t\n3\t" .. script .. "\tone\ttwo words\t\tnil\nbin/silly-run\tnil\n", out)
		assert.are.equal(0, status)
	end)

	it("exits with 2 and its usage without a script", function()
		local out, err, status = sh "bin/silly-run"
		assert.are.equal("", out)
		assert.are.equal("usage: silly-run SCRIPT [ARGS]\n", err)
		assert.are.equal(2, status)
	end)

	it("exits with 1 when the script cannot be read", function()
		local _, err, status = sh "bin/silly-run ./no-such-script.lua"
		assert.matches("^silly%-run: .*no%-such%-script.lua", err)
		assert.are.equal(1, status)
	end)

	it("exits with 1 when the script cannot be compiled", function()
		local out, err, status = run "print('never') this is not Lua"
		assert.are.equal("", out)
		assert.matches(script .. ":1:", err, 1, true)
		assert.are.equal(1, status)
	end)

	it("exits with 1 and the traceback when the main chunk raises, at once", function()
		local out, err, status = run [[
			local silly = require "silly"
			require "silly.task".fork(function()
				silly.sleep(math.huge)
			end)
			local function culprit()
				error("boom")
			end
			print("before")
			silly.sleep(0)
			culprit()
		]]
		assert.are.equal("before\n", out)
		assert.matches("boom\nstack traceback:\n.*culprit", err)
		assert.are.equal(1, status)
	end)

	it("exits with 1 when the main chunk raises a value that is no string", function()
		local _, err, status = run "error({})"
		assert.matches("^silly%-run: table: ", err)
		assert.are.equal(1, status)
	end)

	it("reports an error in a task, goes on and exits with 0", function()
		local out, err, status = run [[
			local silly = require "silly"
			local task = require "silly.task"
			local function culprit()
				error("boom")
			end
			task.fork(function() culprit() end)
			task.fork(function() silly.sleep(1) print("other") end)
		]]
		assert.are.equal("other\n", out)
		assert.matches("boom\nstack traceback:\n.*culprit", err)
		assert.are.equal(0, status)
	end)

	it("exits with 1 and says so when tasks wait that nothing can wake", function()
		local out, err, status = run [[
			local task = require "silly.task"
			local function stuck()
				task.wait()
			end
			task.fork(function() print("other") end)
			stuck()
		]]
		assert.are.equal("other\n", out)
		assert.matches("1 task waits for ever.*\nstack traceback:\n.*stuck", err)
		assert.are.equal(1, status)
	end)

	it("runs with the interpreter that $LUA names", function()
		local lua = os.tmpname()
		local out, _, status = sh("printf '#!/bin/sh\\necho \"$@\"\\n' >" .. lua .. "; chmod +x " .. lua
			.. "; LUA=" .. lua .. " bin/silly-run script.lua one two")
		os.remove(lua)
		assert.are.equal("bin/silly-run script.lua one two\n", out)
		assert.are.equal(0, status)
	end)

	it("finds the checkout from any directory", function()
		local file = assert(io.open(script, "w"))
		file:write("print(package.searchpath and package.searchpath('silly.task', package.path), require 'silly' ~= nil)")
		file:close()
		local out, err, status = sh("root=$PWD; cd /; \"$root/bin/silly-run\" " .. script)
		assert.are.equal("", err)
		assert.matches("true\n$", out)
		assert.are.equal(0, status)
	end)

	it("relies on LUA_PATH and LUA_CPATH elsewhere", function()
		local out, err, status = sh([[dir=$(mktemp -d); mkdir "$dir/bin"; cp bin/silly-run "$dir/bin"
			echo 'print("main") return { run = function(main) main() return true end }' >"$dir/silly.lua"
			echo 'print("script")' >"$dir/script.lua"
			LUA_PATH="$dir/?.lua" "$dir/bin/silly-run" "$dir/script.lua"; status=$?; rm -r "$dir"; (exit $status)]])
		assert.are.equal("", err)
		assert.are.equal("main\nscript\n", out)
		assert.are.equal(0, status)
	end)

	it("ends with the error when a signal interrupts it while it waits", function()
		local _, err, status = run [[
			local silly = require "silly"
			local task = require "silly.task"
			local function again()
				silly.sleep(10000)
				task.fork(again)
			end
			task.fork(again)
			task.fork(function() io.popen("kill -INT $PPID"):close() end)
		]]
		assert.matches("interrupted!", err, 1, true)
		assert.are.equal(1, status)
	end)

	it("ends with the error when a signal interrupts it while tasks are busy", function()
		local _, err, status = run [[
			local silly = require "silly"
			local task = require "silly.task"
			task.fork(function()
				while true do
					silly.sleep(0)
				end
			end)
			task.fork(function() io.popen("kill -INT $PPID"):close() end)
		]]
		assert.matches("interrupted!", err, 1, true)
		assert.are.equal(1, status)
	end)
end)

describe("silly.exit", function()
	it("ends the process with its code, from a task", function()
		local out, err, status = run [[
			local silly = require "silly"
			require "silly.task".fork(function() silly.exit(7) end)
			io.write("flushed")
			silly.sleep(math.huge)
			print("never")
		]]
		assert.are.equal("flushed", out)
		assert.are.equal("", err)
		assert.are.equal(7, status)
	end)

	it("ends the process with 0 by default", function()
		local out, _, status = run "require 'silly'.exit() print('never')"
		assert.are.equal("", out)
		assert.are.equal(0, status)
	end)

	it("ends the process from nested coroutines, through pcall", function()
		local out, err, status = run [[
			local silly = require "silly"
			coroutine.wrap(function()
				coroutine.wrap(function() pcall(silly.exit, 3) end)()
			end)()
			print("never")
		]]
		assert.are.equal("", out)
		assert.are.equal("", err)
		assert.are.equal(3, status)
	end)

	it("closes the Lua state where Lua can", function()
		local out, _, status = run [[
			local silly = require "silly"
			local closes = _VERSION ~= "Lua 5.1"
			if closes then
				setmetatable({}, { __gc = function() print("closed") end })
			else
				print("closed")
			end
			silly.exit(1)
		]]
		assert.are.equal("closed\n", out)
		assert.are.equal(1, status)
	end)
end)

describe("silly.run in a plain script", function()
	it("runs main and what it forks, and gives a status for os.exit", function()
		local file = assert(io.open(script, "w"))
		file:write [[
			package.path = "lua/?.lua;" .. package.path
			package.cpath = "build/" .. _VERSION:match("%d.%d") .. "/?.so;" .. package.cpath
			local silly = require "silly"
			local task = require "silly.task"
			local ended = silly.run(function(...)
				task.fork(function() print("forked") end)
				silly.sleep(0)
				print("main", ...)
			end, ...)
			print(ended)
		]]
		file:close()
		local out, err, status = sh("${LUA:-lua5.4} " .. script .. " one")
		assert.are.equal("", err)
		assert.are.equal("forked\nmain\tone\ntrue\n", out)
		assert.are.equal(0, status)
	end)
end)
