-- Many at once: calls, watches, and processes that end in the midst of them.
-- In: the shared server, thousands of tasks of the standalone runtime, and scripts that run a hundred times each.
-- Out: an answer for every call, an event for every watch, the same exit status every time.
-- C and a number before a spec's name is the goal of the project that it proves.

local silly = require "silly"
local etcd = require "silly.store.etcd"
local waitgroup = require "silly.sync.waitgroup"
local server = require "spec.support.etcd"

local client, prefix

before_each(function()
	client = etcd.newclient { endpoints = { server.endpoint() }, timeout = 60 }
	prefix = server.prefix()
end)

after_each(function()
	client:close()
end)

-- Run `func(1)` to `func(count)` as one task each, to their end.
local function each(count, func)
	silly.run(function()
		local tasks = waitgroup.new()
		for i = 1, count do
			tasks:fork(function() func(i) end)
		end
		tasks:wait()
	end)
end

describe("one client", function()
	it("P7: answers 10,000 calls of 10,000 tasks at once, each with its own answer", function()
		local COUNT = 10000
		local asked, answered = 0, 0
		each(COUNT, function(i)
			local key, value = prefix .. i, tostring(i)
			asked = asked + 1
			local answer = assert(client:txn { success = { { put = { key = key, value = value } }, { get = { key = key } } } })
			assert(asked == COUNT, "an answer came before all had asked")
			local kv = answer.responses[2].get.kvs[1]
			assert(kv.key == key and kv.value == value)
			answered = answered + 1
		end)
		assert.are.equal(COUNT, answered)
		assert.are.equal(COUNT, assert(client:get { key = prefix, prefix = true, count_only = true }).count)
	end)

	it("C11: ends 10,000 calls to a server that stands still, in 32 KiB each beside what they carry", function()
		local node = server.start()
		finally(function() node:kill() end)
		local path = os.tmpname()
		local file = assert(io.open(path, "w"))
		file:write(("package.path, package.cpath = %q, %q"):format(package.path, package.cpath), ([[
			local silly, task, time = require "silly", require "silly.task", require "silly.time"
			local COUNT, VALUE, SECONDS = 10000, ("x"):rep(1000), 3
			local client = require "silly.store.etcd".newclient { endpoints = { %q }, timeout = SECONDS, retry = 0 }
			local function memory(what)
				local status = assert(io.open "/proc/self/status")
				local text = status:read "a"
				status:close()
				return tonumber(text:match(what .. ":%%s*(%%d+)")) * 1024
			end
			assert(client:get { key = "a" })
			assert(os.execute %q)
			local before, start, ended, last = memory "VmRSS", time.now(), 0, 0
			for i = 1, COUNT do
				task.fork(function()
					local write = i %% 2 == 0
					local answer, message, info = client[write and "put" or "get"](client, {
						key = "a", value = write and VALUE .. i or nil,
					})
					assert(not answer and info.code == "deadline_exceeded", message)
					assert(info.applied == (write and "maybe" or "no"))
					ended, last = ended + 1, time.now()
				end)
			end
			silly.sleep(0)
			while ended < COUNT do
				silly.sleep(10)
			end
			client:close()
			io.write(("%%d %%d"):format(last - start, memory "VmHWM" - before - COUNT / 2 * #VALUE))
		]]):format(node.endpoint, "spec/support/etcd pause " .. node.dir))
		file:close()
		local status, output = server.sh("bin/silly-run " .. path)
		os.remove(path)
		assert.are.equal(0, status, output)
		local took, memory = output:match("^(%d+) (%-?%d+)$")
		assert.is_true(tonumber(took) < 10000, output)
		assert.is_true(tonumber(memory) <= 10000 * 32 * 1024, output)
	end)

	it("W8: delivers to 1,000 watches, all read at once", function()
		local COUNT = 1000
		local watches, delivered = {}, {}
		each(COUNT, function(i)
			-- Each sees a key of its own and one that all see.
			watches[i] = assert(client:watch { key = prefix .. i, range_end = prefix .. i .. "\1" })
			watches[COUNT + i] = assert(client:watch { key = prefix .. "shared" })
		end)
		each(2 * COUNT + 1, function(i)
			if i <= 2 * COUNT then
				local events = assert(watches[i]:read(60)).events
				delivered[i] = #events .. events[1].kv.key:sub(#prefix + 1)
			else
				assert(client:put { key = prefix .. "shared", value = "" })
				for j = 1, COUNT do
					assert(client:put { key = prefix .. j, value = "" })
				end
			end
		end)
		for i = 1, COUNT do
			assert.are.equal("1" .. i, delivered[i])
			assert.are.equal("1shared", delivered[COUNT + i])
		end
	end)
end)

describe("a process that ends with calls and watches under way", function()
	-- Tasks that end with the client only: calls without a pause, watches, leases that are renewed.
	local TASKS = [[
		local silly = require "silly"
		local task = require "silly.task"
		local client = require "silly.store.etcd".newclient { endpoints = { %q } }
		local busy = 0
		for i = 1, 20 do
			task.fork(function()
				local stream = assert(client:watch { key = %q .. i })
				task.fork(function() stream:read() end)
				assert(client:grant { TTL = 60 })
				busy = busy + 1
				repeat until not client:get { key = "a" }
			end)
		end
		repeat
			assert(client:get { key = "a" })
		until busy == 20
	]]

	-- The same in coroutines under a loop that nobody runs.
	local COROUTINES = [[
		local loop = {}
		function loop.current()
			local co, main = coroutine.running()
			return not main and co or nil
		end
		loop.park, loop.wake, loop.start = coroutine.yield, coroutine.resume, function() end
		local client = require "silly.store.etcd".newclient { endpoints = { %q }, loop = loop }
		local stream = assert(client:watch { key = %q })
		assert(client:grant { TTL = 60 })
		for i = 1, 20 do
			coroutine.wrap(function() client:get { key = "a" } end)()
			coroutine.wrap(function() stream:read() end)()
		end
	]]

	-- Run a script a hundred times; return how often it ended with each status, and everything that it wrote.
	local function endings(command, source)
		local path = os.tmpname()
		local file = assert(io.open(path, "w"))
		file:write(("package.path, package.cpath = %q, %q"):format(package.path, package.cpath))
		file:write(source:format(server.endpoint(), prefix))
		file:close()
		local _, output = server.sh(("{ seq 100 | while read -r i; do %s %s; echo $? >&3; done; } 3>%s.status")
			:format(command, path, path))
		local statuses = {}
		for line in io.lines(path .. ".status") do
			statuses[line] = (statuses[line] or 0) + 1
		end
		os.remove(path)
		os.remove(path .. ".status")
		return statuses, output
	end

	for _, case in ipairs {
		{ "by silly.exit", "bin/silly-run", TASKS .. "silly.exit(7)", "7" },
		{ "by os.exit", "bin/silly-run", TASKS .. "os.exit(7)", "7" },
		{ "by os.exit that closes the state", "bin/silly-run", TASKS .. "os.exit(7, true)", "7" },
		{ "by an error", "bin/silly-run", TASKS .. "error({})", "1", "silly%-run: table: .*" },
		{ "by closing the client", "bin/silly-run", TASKS .. "client:close()", "0" },
		{ "by the end of its main chunk", "${LUA:-lua5.4}", COROUTINES, "0" },
		{ "by an error in its main chunk", "${LUA:-lua5.4}", COROUTINES .. "error 'boom'", "1", ".*: boom\n.*" },
	} do
		local name, command, source, status, output = table.unpack(case, 1, 5)
		it("does so cleanly every time, " .. name, function()
			local statuses, written = endings(command, source)
			assert.are.same({ [status] = 100 }, statuses)
			assert.matches("^" .. (output or "") .. "$", written)
		end)
	end
end)
