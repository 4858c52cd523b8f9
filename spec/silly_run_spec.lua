-- bin/silly-run: scripts as a user runs them.
-- In: a script in a temporary file, arguments, signals, the interpreter in $LUA. Out: stdout, stderr and the exit
-- status.

local server = require "spec.support.etcd"

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
			mkdir "$dir/silly"
			echo 'print("main") return { _script = function(main) main() return 0 end }' >"$dir/silly/task.lua"
			echo 'print("script")' >"$dir/script.lua"
			LUA_PATH="$dir/?.lua" "$dir/bin/silly-run" "$dir/script.lua"; status=$?; rm -r "$dir"; (exit $status)]])
		assert.are.equal("", err)
		assert.are.equal("main\nscript\n", out)
		assert.are.equal(0, status)
	end)

	it("says how to build the library where there is none", function()
		local _, err, status = sh([[dir=$(mktemp -d); mkdir "$dir/bin"; cp bin/silly-run "$dir/bin"; cp -r lua "$dir"
			echo >"$dir/script.lua"
			LUA_CPATH=none "$dir/bin/silly-run" "$dir/script.lua"; status=$?; rm -r "$dir"; (exit $status)]])
		assert.matches("^silly%-run: no library for this Lua: make build LUA=[%w./]+\n.*'silly.store.etcd' not found:", err)
		assert.are.equal(1, status)
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
		assert.are.equal(130, status)
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
		assert.are.equal(130, status)
	end)
end)

describe("a signal under bin/silly-run", function()
	local BEGINNING = [[
		local silly = require "silly"
		local task = require "silly.task"
		local etcd = require "silly.store.etcd"
		local client = etcd.newclient { endpoints = { "]] .. server.endpoint() .. [[" } }

		local function send(name)
			io.popen("kill -" .. name .. " $PPID"):close()
		end

		local function noting(what)
			return setmetatable({}, { __close = function(_, problem) print("closes " .. what, problem) end })
		end
	]]

	-- Asserts what a script prints that a signal ends.
	local function ends(status, expected, source)
		local out, err, code = run(BEGINNING .. source)
		assert.are.same({ expected, status }, { out, code }, err)
		return err
	end

	for name, how in pairs { INT = { 130, "interrupted!" }, TERM = { 143, "terminated!" } } do
		local status, text = how[1], how[2]

		it("n7: is an error where main waits: SIG" .. name, function()
			local err = ends(status, "false\t" .. text .. "\n", [[
				task.fork(send, "]] .. name .. [[")
				local ok, problem = silly.pcall(function() silly.sleep(1e7) end)
				print(ok, problem:match "^[^\n]*")
				error(problem, 0)
			]])
			assert.matches("^silly%-run: " .. text .. "\nstack traceback:\n.*" .. script, err)
		end)

		for wait, source in pairs {
			sleep = "silly.sleep(1e7)",
			call = "mute:get { key = 'a' }",
			["call that blocks"] = "table.sort({ 2, 1 }, function(a, b) mute:get { key = 'a' } return a < b end)",
		} do
			it("n7: ends a " .. wait .. " that has begun: SIG" .. name, function()
				local silent = server.start()
				finally(function() silent:kill() end)
				silent:pause()
				local file = assert(io.open(script, "w"))
				file:write(BEGINNING, [[
					local mute = require "silly.store.etcd".newclient { endpoints = { "]], silent.endpoint, [[" }, timeout = 600 }
					local begun = io.open(..., "w")
					begun:write "begun"
					begun:close()
				]], source)
				file:close()
				local begun = os.tmpname()
				local _, err, code = sh("bin/silly-run " .. script .. " " .. begun .. [[ & pid=$!
					until [ -s ]] .. begun .. [[ ] && grep -q "^State:.S" /proc/$pid/status; do kill -0 $pid || break; done
					kill -]] .. name .. " $pid; wait $pid; status=$?; rm " .. begun .. "; (exit $status)")
				assert.are.equal(status, code)
				assert.matches("^silly%-run: " .. text .. "\nstack traceback:\n.*" .. script, err)
			end)
		end

		it("n7: ends the other tasks where main has ended: SIG" .. name, function()
			ends(status, "", [[
				task.fork(function() silly.sleep(1e7) end)
				task.fork(function()
					silly.sleep(0)
					send "]] .. name .. [["
				end)
			]])
		end)
	end

	local closes = coroutine.close and it or pending
	closes("n7: closes the variables of main, then those of the other tasks", function()
		ends(143, "closes main\tterminated!\ncloses 1\tnil\ncloses 2\tnil\n", [[
			for i = 1, 2 do
				task.fork(function()
					local _ <close> = noting(i)
					silly.sleep(1e7)
				end)
			end
			task.fork(send, "TERM")
			local _ <close> = noting "main"
			client:watch({ key = "never" }):read()
		]])
	end)

	it("n7: lets main tidy up, and what it waited for before does not come between", function()
		ends(143, "false\ttrue\tnil\ntimer\ntrue\ttrue\n", [[
			local group = require "silly.sync.waitgroup".new()
			group:fork(function()
				send "TERM"
				silly.sleep(0)
				silly.sleep(0)
			end)
			local ok, problem = silly.pcall(group.wait, group)
			local answer, message = client:get { key = "a" }
			print(ok, answer ~= nil, message)
			require "silly.time".after(1, print, "timer")
			group:wait()
			silly.sleep(2)
			print(client:get { key = "a" } ~= nil, task.status(task.running()) == "RUN")
			error(problem, 0)
		]])
	end)

	for how, read in pairs {
		["that waits"] = "task.fork(send, 'TERM') stream:read()",
		["that blocks"] = "table.sort({ 2, 1 }, function(a, b) send 'TERM' stream:read() return a < b end)",
	} do
		it("n7: leaves no read behind " .. how .. " #hosts", function()
			local file = assert(io.open(script, "w"))
			file:write(BEGINNING, [[
				local stream = assert(client:watch { key = "never" })
				print(etcd.pcall(function() ]], read, [[ end))
				print((select(2, stream:read(0))))
			]])
			file:close()
			server.each_lua(function(lua, cpath)
				local out, err, status = sh(("LUA=%s LUA_CPATH='%s' timeout 60 bin/silly-run %s"):format(lua, cpath, script))
				assert.are.same({ "false\tterminated!\ntimeout\n", "", 0 }, { out, err, status }, lua)
			end)
		end)
	end

	for what, source in pairs {
		["key of a mutex"] = [[
			local m = require "silly.sync.mutex".new()
			task.fork(function()
				local guard = m:lock "key"
				silly.sleep(0)
				guard:unlock()
				send "TERM"
			end)
			silly.sleep(0)
			m:lock("key"):unlock()
			print(etcd.pcall(silly.sleep, 1e7))
			m:lock "key"
			print "has it"
		]],
		["value of a channel"] = [[
			local ch = require "silly.sync.channel".new()
			task.fork(function()
				ch:push "has it"
				send "TERM"
			end)
			local value = ch:pop()
			print(etcd.pcall(ch.pop, ch))
			print(value)
		]],
	} do
		it("n7: does not take the place of what main was handed before: the " .. what, function()
			ends(0, "false\tterminated!\nhas it\n", source)
		end)
	end

	it("n7: that interrupts a sleep takes its timer too", function()
		ends(0, "timer\nslept\n", [[
			task.fork(send, "TERM")
			silly.pcall(silly.sleep, 50)
			require "silly.time".after(100, print, "timer")
			silly.sleep(150)
			print "slept"
		]])
	end)

	it("n7: ends the process at once when it comes again", function()
		ends(143, "once\n", [[
			io.stdout:setvbuf "no"
			task.fork(function()
				send "TERM"
				print "once"
				send "TERM"
				print "twice"
			end)
			task.wait()
		]])
	end)

	it("n7: that the process ignores stays ignored", function()
		local file = assert(io.open(script, "w"))
		file:write(BEGINNING, [[ send "TERM" silly.sleep(1) print "goes on" ]])
		file:close()
		local out, err, status = sh("trap '' TERM; bin/silly-run " .. script)
		assert.are.same({ "goes on\n", "", 0 }, { out, err, status })
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

	-- Runs a script by `lua`, in which `silly` and `task` are there.
	local function plain(source, lua, build)
		local file = assert(io.open(script, "w"))
		file:write([[
			local silly = require "silly"
			local task = require "silly.task"
		]], source)
		file:close()
		local version = _VERSION:match "%d%.%d"
		return sh(("LUA_PATH='lua/?.lua;;' LUA_CPATH='%s/?.so;;' %s %s")
			:format(build or "build/" .. version, lua or "${LUA:-lua5.4}", script))
	end

	it("n7: leaves signals alone", function()
		local out, err = plain [[
			local function handling()
				local set = {}
				for line in io.lines "/proc/self/status" do
					-- Blocked, ignored, caught. How many are queued depends on other processes.
					set[#set + 1] = line:match "^Sig[BIC]%a+:%s*%x+"
				end
				return table.concat(set, " ")
			end
			local before = handling()
			silly.run(function()
				silly.sleep(1)
				print(handling() == before)
			end)
		]]
		assert.are.same({ "true\n", "" }, { out, err })
	end)

	describe("with calls #hosts", function()
		local BEGINNING = [[
			local etcd = require "silly.store.etcd"
			local time = require "silly.time"
			local function newclient(loop)
				return etcd.newclient { endpoints = { "]] .. server.endpoint() .. [[" }, loop = loop }
			end

			local collector = require "spec.support.collector"
			local drop, hurried = collector.drop, collector.hurried
			local other = require "spec.support.life.loop"
		]]

		-- Asserts what a script prints, by every Lua that is there.
		local function prints(expected, source)
			server.each_lua(function(lua, cpath)
				local found = { plain(BEGINNING .. source, "timeout 60 " .. lua, (cpath:gsub("/%?%.so;;$", ""))) }
				assert.are.same({ expected, "", 0 }, found, lua)
			end)
		end

		it("may be in a finalizer, also while a call blocks", function()
			prints("ends\n", [[
				local client, runs, running = newclient(), 0, false
				local function finalize()
					if not running then
						running = true
						silly.run(function() assert(client:get "x") end)
						runs, running = runs + 1, false
					end
				end
				hurried(function()
					repeat
						drop(finalize)
						assert(client:get "x")
					until runs >= 20
				end)
				print "ends"
			]])
		end)

		it("may follow one that failed while a task waited for a response", function()
			prints("ends\n", [[
				local stream = assert(newclient():watch { key = "never" })
				pcall(silly.run, function()
					task.fork(function() stream:read() end)
					silly.sleep(0)
					error "boom"
				end)
				silly.run(function() end)
				print "ends"
			]])
		end)

		it("wakes the callers of other loops before one of its tasks has made a call", function()
			prints("true\n", [[
				local client, response = newclient(other), nil
				coroutine.wrap(function() response = client:get "x" end)()
				silly.run(function()
					repeat
						silly.sleep(1)
					until response
					print(response.count ~= nil)
				end)
			]])
		end)

		it("ends though another loop's caller waits", function()
			prints("ends\n", [[
				local client, stream = newclient(other), nil
				coroutine.wrap(function()
					stream = assert(client:watch { key = "never" })
					stream:read()
				end)()
				silly.run(function()
					repeat
						silly.sleep(1)
					until stream
				end)
				print "ends"
			]])
		end)

		it("ends its own tasks, though finalizers ask for runs meanwhile", function()
			prints("false\n", [[
				local running = false
				local function finalize()
					if not running then
						running = true
						pcall(silly.run, function() end)
						running = false
					end
				end
				rawset(io, "stderr", { write = function() end })
				local ended
				hurried(function()
					for _ = 1, 2000 do
						ended = silly.run(function()
							task.fork(function() task.wait() end)
							task.fork(function()
								drop(finalize)
								task.wait()
							end)
							drop(finalize)
						end)
					end
				end)
				print(ended)
			]])
		end)

		it("leaves no timer that a finalizer begins at its end", function()
			prints("all\n", [[
				local begun, ended = 0, 0
				local function finalize()
					begun = begun + 1
					time.after(0, function() ended = ended + 1 end)
				end
				hurried(function()
					for _ = 1, 200 do
						silly.run(function() drop(finalize) end)
					end
				end)
				collectgarbage()
				collectgarbage "stop"
				silly.run()
				print(begun >= 200 and ended == begun and "all" or ended .. " of " .. begun)
			]])
		end)
	end)

	describe("that is missing", function()
		local FORKS = [[
			task.fork(function() print "never" end)
			require "silly.time".after(1, print, "never")
			print "ends"
		]]
		local REMINDER = "silly: 2 tasks were forked and never ran: call silly.run()\n"

		it("n12: is told at the end", function()
			assert.are.same({ "ends\n", REMINDER, 0 }, { plain(FORKS) })
		end)

		it("n12: is told at the end on LuaJIT and Lua 5.1 #hosts", function()
			for _, lua in ipairs { "lua5.1", "luajit" } do
				assert.are.same({ "ends\n", REMINDER, 0 }, { plain(FORKS, lua, "build/hosts/5.1") })
			end
		end)

		it("n12: is no news where all have run, were closed, or exit has ended a run", function()
			for _, source in ipairs {
				"task.fork(function() end) silly.run()",
				"silly.run(function() task.fork(silly.sleep, 1e7) silly.sleep(0) silly.exit(0) end)",
				"pcall(silly.run, function() task.fork(function() end) error 'boom' end)",
			} do
				assert.are.same({ "", "", 0 }, { plain(source) })
			end
		end)
	end)
end)
