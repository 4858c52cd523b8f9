-- examples/recipes/: modules that people copy. In: etcds of the spec's own, and consumers that are processes of their
-- own and are killed. Out: each item is done, who waits goes on, and a dead process holds nobody up.

local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local queue = dofile "examples/recipes/queue.lua"
local barriers = dofile "examples/recipes/barriers.lua"

local HANG = 30

local node, client

setup(function()
	node = server.start()
end)

teardown(function()
	node:kill()
end)

before_each(function()
	client = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
end)

after_each(function()
	assert(client:delete { key = "", prefix = true })
	client:close()
end)

local function session()
	return assert(client:session { marker = "markers/" })
end

local function pops(from, value)
	local item = assert(from:pop(HANG))
	assert.are.equal(value, item.value)
	return item
end

-- A process that does items until there are none for so long; it prints the value of each. It stops in the
-- middle of the item whose value is `trap`.
---@return file* program
---@return string path  what to kill it by
local function consumer(name, trap)
	local path = os.tmpname()
	local file = assert(io.open(path, "w"))
	file:write(([[
		package.path, package.cpath = %q, %q
		local etcd = require "silly.store.etcd"
		local client = etcd.newclient { endpoints = { %q }, retry = 100, retry_sleep = 50 }
		local queue = dofile "examples/recipes/queue.lua"
		io.stdout:setvbuf "line"
		local session, jobs
		while true do
			if not (session and session:held()) then
				session = assert(client:session { marker = "markers/", TTL = %d })
				jobs = queue.open(client, session, %q)
			end
			local item = jobs:pop(5)
			if item and item.value == %q then
				print "trap"
				session:wait()
			elseif item then
				local done, message = item:done()
				if done then
					print(item.value)
				else
					print(message)
				end
			elseif jobs:length() == 0 then
				break
			end
		end
		client:close()
	]]):format(package.path, package.cpath, node.endpoint, trap and 2 or 60, name, trap or ""))
	file:close()
	return assert(io.popen(("timeout 120 %s %s 2>&1; rm -f %s"):format(os.getenv "LUA" or "lua5.4", path, path))), path
end

-- Waits until a queue has at most so many items.
local function shrinks(jobs, most)
	local stop = time.monotonic() + HANG * 1000
	while assert(jobs:length()) > most do
		assert.is_true(time.monotonic() < stop)
		os.execute "sleep 0.02"
	end
end

describe("queue.lua", function()
	it("gives items by priority, then in their order, and each to one", function()
		local jobs = queue.open(client, session(), "jobs")
		for _, value in ipairs { "a", "b", "c" } do
			assert(jobs:push(value, 5))
		end
		assert(jobs:push("first", 1))
		assert.are.equal(4, jobs:length())
		local other = queue.open(client, session(), "jobs")
		local first, a = pops(jobs, "first"), pops(other, "a")
		local b = pops(jobs, "b")
		assert(first:done())
		assert(b:back())
		assert.are.equal(3, jobs:length())
		b = pops(other, "b")
		local c = pops(jobs, "c")
		assert.are.same({ nil, "timeout" }, { (jobs:pop(0)), (select(2, jobs:pop(0.05))) })
		for _, item in ipairs { a, b, c } do
			assert(item:done())
		end
		local _, _, info = c:done()
		assert.are.equal("lost", info.code)
		assert.are.equal(0, assert(client:get { key = "jobs/", prefix = true }).count)
	end)

	it("looks past those that are taken, however many", function()
		local jobs = queue.open(client, session(), "jobs")
		for i = 1, 25 do
			assert(jobs:push(tostring(i)))
		end
		for i = 1, 25 do
			pops(jobs, tostring(i))
		end
	end)

	it("wakes who waits: by an item, by one that is given back, by a consumer's end", function()
		silly.run(function()
			local jobs, results = queue.open(client, session(), "jobs"), channel.new()
			local function waits()
				task.fork(function() results:push(assert(jobs:pop(HANG)).value) end)
				time.sleep(20)
			end
			waits()
			assert(jobs:push "pushed")
			assert.are.equal("pushed", results:pop())

			local own = session()
			local other = queue.open(client, own, "jobs")
			assert(other:push "back")
			local item = pops(other, "back")
			waits()
			assert(item:back())
			assert.are.equal("back", results:pop())

			assert(other:push "ended")
			item = pops(other, "ended")
			waits()
			assert(own:revoke())
			assert.are.equal("ended", results:pop())
			local _, _, info = item:done()
			assert.are.same({ "closed", "no" }, { info.code, info.applied })
		end)
	end)

	it("loses no item and does none twice, with etcd killed and a consumer that dies", function()
		local jobs = queue.open(client, session(), "jobs")
		local ITEMS = 60
		for i = 1, ITEMS do
			assert(jobs:push(tostring(i)))
		end
		local dying, path = consumer("jobs", "1")
		assert.are.equal("trap", dying:read "*l")
		-- The item that it has comes back once its lease has ended.
		server.sh("pkill -KILL -f '[/]" .. path:sub(2) .. "'")
		dying:close()
		local programs = { (consumer "jobs"), (consumer "jobs") }
		shrinks(jobs, ITEMS - 5)
		node:kill()
		node:start()
		shrinks(jobs, 0)
		local done = {}
		for _, program in ipairs(programs) do
			for line in program:lines() do
				assert.is_nil(done[line], line)
				done[line] = true
			end
			program:close()
		end
		for i = 1, ITEMS do
			assert.is_true(done[tostring(i)], i)
		end
	end)

	it("refuses a priority that would break the order, and two handles never push one key", function()
		local own = session()
		local one, two = queue.open(client, own, "jobs"), queue.open(client, own, "jobs")
		for _, priority in ipairs { -1, 1.5, 100000, "1" } do
			local _, _, info = one:push("a", priority)
			assert.are.equal("invalid_argument", info.code)
		end
		for i = 1, 20 do
			assert((i % 2 == 0 and one or two):push(tostring(i)))
		end
		assert.are.equal(20, one:length())
	end)
end)

describe("barriers.lua: a barrier", function()
	it("holds up until all who hold it have released it, or have died", function()
		assert.is_true(barriers.wait(client, "gate"))
		local one, two = session(), session()
		assert(barriers.hold(client, one, "gate"))
		assert(barriers.hold(client, two, "gate"))
		local _, message = barriers.wait(client, "gate", 0.05)
		assert.are.equal("timeout", message)
		assert(barriers.release(client, one, "gate"))
		assert(two:revoke())
		assert.is_true(barriers.wait(client, "gate", HANG))
	end)

	it("lets those who wait pass at once", function()
		silly.run(function()
			local one, two, all = session(), session(), waitgroup.new()
			assert(barriers.hold(client, one, "gate"))
			assert(barriers.hold(client, two, "gate"))
			local passed = 0
			for _ = 1, 3 do
				all:fork(function()
					assert(barriers.wait(client, "gate", HANG))
					passed = passed + 1
				end)
			end
			assert(barriers.release(client, one, "gate"))
			node:kill()
			node:start()
			assert.are.equal(0, passed)
			assert(two:revoke())
			all:wait()
			assert.are.equal(3, passed)
		end)
	end)
end)

describe("barriers.lua: a rendezvous", function()
	it("begins together and ends together, round after round, through a restart", function()
		silly.run(function()
			local MEMBERS, ROUNDS = 3, 5
			local entering, leaving, all = {}, {}, waitgroup.new()
			local function least(rounds)
				return math.min(rounds[1] or 0, rounds[2] or 0, rounds[3] or 0)
			end
			for i = 1, MEMBERS do
				local own = session()
				all:fork(function()
					for round = 1, ROUNDS do
						entering[i] = round
						local leave = assert(barriers.enter(client, own, "meet", MEMBERS, HANG))
						assert.is_true(least(entering) >= round)
						assert.is_true(least(leaving) >= round - 1)
						if round == 2 and i == 1 then
							node:kill()
							node:start()
						end
						leaving[i] = round
						assert(leave(HANG))
						assert.is_true(least(leaving) >= round)
					end
				end)
			end
			all:wait()
			assert.are.equal(ROUNDS, least(leaving))
			assert.are.equal(0, assert(client:get { key = "meet/", prefix = true }).count)
		end)
	end)

	it("lets nobody in for whom there is no room", function()
		silly.run(function()
			local all, leaves = waitgroup.new(), {}
			for i = 1, 2 do
				all:fork(function() leaves[i] = assert(barriers.enter(client, session(), "meet", 2, HANG)) end)
			end
			all:wait()
			local own = session()
			local entered, message = barriers.enter(client, own, "meet", 2, 0.05)
			assert.are.same({ nil, "timeout" }, { entered, message })
			assert(barriers.hold(client, own, "meet"))
			local _, _, info = barriers.enter(client, own, "meet", 2, 0.05)
			assert.are.equal("already_exists", info.code)
			assert(barriers.release(client, own, "meet"))
			for i = 1, 2 do
				all:fork(function() assert(leaves[i](HANG)) end)
			end
			all:wait()
		end)
	end)

	it("lets both in or neither, where one gives up as the other comes", function()
		silly.run(function()
			for i = 1, 40 do
				local all, results = waitgroup.new(), {}
				for number, limit in ipairs { 0, 0.1 } do
					local own = session()
					all:fork(function()
						time.sleep(number == 2 and i % 10 or 0)
						results[number] = barriers.enter(client, own, "meet" .. i, 2, limit) or false
					end)
				end
				all:wait()
				assert.are.equal(results[1] ~= false, results[2] ~= false)
			end
		end)
	end)

	it("does not count who gave up or died, and does not wait for the dead", function()
		silly.run(function()
			local one, two, dead = session(), session(), session()
			local _, message = barriers.enter(client, one, "meet", 2, 0.05)
			assert.are.equal("timeout", message)
			assert.are.equal(0, assert(client:get { key = "meet/", prefix = true }).count)

			local results = channel.new()
			task.fork(function() results:push { barriers.enter(client, dead, "meet", 3, HANG) } end)
			repeat until assert(client:get { key = "meet/", prefix = true }).count == 1 or time.sleep(5)
			assert(dead:revoke())
			local result = results:pop()
			assert.is_nil(result[1])
			assert.are.equal("lost", result[3].code)

			dead = session()
			local all, leaves = waitgroup.new(), {}
			for i, own in ipairs { one, two, dead } do
				all:fork(function() leaves[i] = assert(barriers.enter(client, own, "meet", 3, HANG)) end)
			end
			all:wait()
			assert(dead:revoke())
			-- Somebody else comes in its place, and holds nobody up.
			local late = assert(barriers.enter(client, session(), "meet", 3, HANG))
			all = waitgroup.new()
			for i = 1, 2 do
				all:fork(function() assert(leaves[i](HANG)) end)
			end
			all:wait()
			assert(late(HANG))
		end)
	end)
end)
