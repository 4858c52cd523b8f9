-- client:campaign, client:leader and client:observe: who leads under a name. In: the etcd that all share, etcds of the
-- spec's own, other processes. Out: at most one leads, and whoever observes hears who, and that nobody does.

local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30

local client, name

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	name = server.prefix():gsub("/$", "")
end)

-- Reads until this leads, or nobody does.
local function await(observer, value)
	repeat
		local led = assert(observer:read(HANG))
		local kv = led.kv
	until (kv and kv.value) == value
end

describe("a leader", function()
	it("leads until it resigns, and tells what it likes", function()
		local leader = assert(client:campaign { name = name, value = "one" })
		assert.is_true(leader:held())
		local led = assert(client:leader(name))
		assert.are.same({ leader.key, "one", leader.lease, leader.revision },
			{ led.kv.key, led.kv.value, led.kv.lease, led.kv.create_revision })
		assert.is_true(led.header.revision >= leader.revision)
		local proclaimed = assert(leader:proclaim "two")
		led = assert(client:leader(name))
		assert.are.same({ "two", proclaimed.header.revision, leader.revision },
			{ led.kv.value, led.kv.mod_revision, led.kv.create_revision })
		assert.is_true(leader:held())
		assert(leader:proclaim { value = "three" })
		assert(leader:put { key = name .. "x", value = "1" })
		assert(leader:txn { compare = leader:compare(), success = { { delete = name .. "x" } } })
		assert.are.equal(0, assert(leader:delete(name .. "x")).deleted)
		assert.matches("^silly%.store%.etcd%.leader: ", tostring(leader))

		assert.is_true(leader:resign())
		assert.is_nil(assert(client:leader(name)).kv)
		assert.are.equal("closed", leader:wait().code)
		local _, message, info = leader:proclaim "late"
		assert.are.same({ "leader.proclaim: closed: it was given up", "closed" }, { message, info.code })
		assert.is_true(leader:resign())
	end)

	it("that was overthrown proclaims nothing", function()
		local leader = assert(client:campaign(name))
		local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
		assert(other:delete(leader.key))
		local successor = assert(client:campaign { name = name, value = "next" })
		local _, message, info = leader:proclaim "late"
		assert.are.same({ "lost", "no" }, { info.code, info.applied }, message)
		assert.are.equal("lost", assert(leader:wait(HANG)).code)
		assert.are.equal("next", assert(client:leader(name)).kv.value)
		assert(successor:resign())
	end)

	it("is one after the other, of all that campaign", function()
		silly.run(function()
			local led, all = 0, waitgroup.new()
			for i = 1, 10 do
				all:fork(function()
					local leader = assert(client:campaign { name = name, value = tostring(i) })
					assert.are.equal(0, led)
					led = led + 1
					assert.are.equal(tostring(i), assert(client:leader(name)).kv.value)
					time.sleep(2)
					assert.is_true(leader:held())
					led = led - 1
					assert(leader:resign())
				end)
			end
			all:wait()
			assert.is_nil(assert(client:leader(name)).kv)
		end)
	end)

	it("is none of a name below, and who holds a lock leads under its name", function()
		local below = assert(client:campaign { name = name .. "/below", value = "below" })
		for i = 1, 20 do
			assert(client:put { key = ("%s/%d/x"):format(name, i), value = "" })
		end
		assert.is_nil(assert(client:leader(name)).kv)
		local lock = assert(client:lock { name = name, value = "lock" })
		assert.are.equal("lock", assert(client:leader(name)).kv.value)
		assert(lock:unlock())
		assert(below:resign())
	end)

	it("is the one of etcdctl too", function()
		local ctl = ("exec env ETCDCTL_API=3 timeout 60 etcdctl --endpoints=%s elect "):format(server.endpoint())
		local whole = server.namespace .. name
		local pipe = assert(io.popen(ctl .. whole .. " theirs"))
		local observer = assert(client:observe(name))
		await(observer, "theirs")
		silly.run(function()
			local results = channel.new()
			task.fork(function() results:push(assert(client:campaign { name = name, value = "ours" })) end)
			repeat until assert(client:get { key = name .. "/", prefix = true, count_only = true }).count == 2 or time.sleep(5)
			assert.are.equal("theirs", observer:kv().value)
			server.sh("pkill -INT -f 'elect " .. whole .. " theirs'")
			pipe:close()
			local leader = results:pop()
			await(observer, "ours")
			local listen = assert(io.popen(ctl .. "--listen " .. whole))
			assert.are.equal(server.namespace .. leader.key, listen:read "*l")
			assert.are.equal("ours", listen:read "*l")
			server.sh("pkill -INT -f 'elect --listen " .. whole .. "'")
			listen:close()
			assert(leader:resign())
			await(observer, nil)
		end)
		observer:close()
	end)
end)

describe("an observer", function()
	it("tells who leads at first, then who does, and that nobody does", function()
		silly.run(function()
			local observer = assert(client:observe(name))
			assert.is_nil(assert(observer:read()).kv)
			assert.is_nil(observer:kv())
			assert.are.equal("timeout", select(2, observer:read(0.02)))
			local one = assert(client:campaign { name = name, value = "one" })
			local led = assert(observer:read(HANG))
			assert.are.same({ "one", one.key }, { led.kv.value, led.kv.key })
			assert.is_true(led.header.revision >= one.revision)
			local late = assert(client:observe(name))
			assert.are.equal("one", assert(late:read()).kv.value)
			assert(one:proclaim "uno")
			assert.are.equal("uno", assert(observer:read(HANG)).kv.value)
			-- Who waits is no news.
			local results = channel.new()
			task.fork(function() results:push(assert(client:campaign { name = name, value = "two" })) end)
			repeat until assert(client:get { key = name .. "/", prefix = true, count_only = true }).count == 2 or time.sleep(5)
			assert.are.equal("timeout", select(2, observer:read(0.05)))
			assert(one:resign())
			await(observer, "two")
			assert.are.equal("two", observer:kv().value)
			assert(results:pop():resign())
			await(observer, nil)
			-- One that reads late hears of the newest alone.
			assert.is_nil(late:read(HANG).kv)
			observer:close()
			assert.are.equal("closed", select(3, observer:read()).code)
			late:close()
		end)
	end)

	it("iterates until it is closed", function()
		silly.run(function()
			local observer = assert(client:observe(name))
			local seen = {}
			task.fork(function()
				local leader = assert(client:campaign { name = name, value = "one" })
				assert(leader:resign())
			end)
			for led in observer:changes() do
				seen[#seen + 1] = led.kv and led.kv.value or "nobody"
				if #seen > 1 and seen[#seen] == "nobody" then
					observer:close()
				end
			end
			assert.are.equal("nobody", seen[1])
		end)
	end)

	it("survives a restart, a compaction, and a store that was put back", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
		local observer = assert(own:observe "e")
		local first = assert(own:campaign { name = "e", value = "first", TTL = 60 })
		await(observer, "first")
		local backup = node:backup()
		node:kill()
		node:start()
		local revision = assert(own:put { key = "x", value = "" }).header.revision
		assert(own:compact { revision = revision, physical = true })
		assert(first:resign())
		await(observer, nil)
		local second = assert(own:campaign { name = "e", value = "second", TTL = 60 })
		await(observer, "second")
		node:kill()
		node:restore(backup)
		node:start()
		await(observer, "first")
		assert.is_truthy(second:wait(HANG))
		observer:close()
		node:kill()
	end)

	it("refuses what it cannot follow", function()
		for _, call in ipairs { "observe", "leader", "campaign" } do
			for _, case in ipairs { { { name = "" }, "name" }, { {}, "name" }, { { name = "a", nmae = "b" }, "nmae" } } do
				local _, message, info = client[call](client, case[1])
				assert.are.same({ "invalid_argument", case[2] }, { info.code, info.field }, message)
			end
		end
		local absent <close> = etcd.newclient { endpoints = { "127.0.0.1:1" } }
		local observer = assert(absent:observe { name = "a", wait = 0 })
		local kv, message, info = observer:kv()
		assert.are.same({ nil, "unavailable" }, { kv, info.code }, message)
		assert.are.equal("timeout", select(2, observer:read(0.02)))
		observer:close()
		assert.are.equal("closed", select(3, observer:kv()).code)
		assert.are.equal("unavailable", select(3, absent:observe { name = "a", wait = 0.1 }).code)
	end)
end)
