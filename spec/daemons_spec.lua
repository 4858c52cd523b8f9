-- examples/daemons/: programs that people copy, each while etcd is stopped under it. In: etcds of the spec's own. Out:
-- what the programs print, and what is in the store.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local ALONE = ("LUA_PATH= LUA_CPATH=build/%s/?.so %s"):format(_VERSION:match "%d%.%d", os.getenv "LUA" or "lua5.4")
local TASKS = "bin/silly-run"
local HANG = 30

local node, client

before_each(function()
	node = server.start()
	client = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
end)

after_each(function()
	client:close()
	node:kill()
end)

-- Starts a program; what it prints can be read line by line. It is killed in the end.
local function start(command, name, ...)
	local arguments = table.concat({ ... }, " ")
	return assert(io.popen(("exec timeout %d env ETCD_ENDPOINTS=%s %s examples/daemons/%s.lua %s 2>&1")
		:format(HANG * 4, node.endpoint, command, name, arguments)))
end

local function prints(program, ...)
	for _, expected in ipairs { ... } do
		assert.are.equal(expected, program:read "*l")
	end
end

it("config.lua follows, through a restart, and starts while etcd is down", function()
	local file = node.dir .. "/config"
	assert(client:put { key = "config/host", value = "here" })
	assert(client:put { key = "config/port", value = "80" })
	local program = start(ALONE, "config", file)
	prints(program, "ready", "config/host\there", "config/port\t80")
	node:stop()
	node:start()
	assert(client:put { key = "config/port", value = "8080" })
	prints(program, "config/port\t8080")
	assert(client:delete "config/host")
	assert(client:put { key = "config/port", value = "none" })
	local seen
	repeat
		seen = program:read "*l"
	until seen == "config/port\tnone"
	assert(client:delete "config/port")
	assert.are.equal("config/port\tnil", program:read "*l")
	assert.is_true(program:close())

	-- As after a restart of the machine.
	assert(client:put { key = "config/port", value = "9090" })
	program = start(ALONE, "config", file)
	prints(program, "ready", "config/port\t9090")
	for _ = 1, HANG * 20 do
		local copy = io.open(file, "rb")
		if copy and copy:read("*a"):find("9090", 1, true) then
			break
		end
		os.execute "sleep 0.05"
	end
	assert.are.equal(0, (server.sh("pkill -f '[d]aemons/config.lua " .. file .. "'")))
	program:close()
	node:stop()
	program = start(ALONE, "config", file)
	prints(program, "stale", "config/port\t9090")
	node:start()
	assert(client:delete "config/port")
	prints(program, "config/port\tnil")
	program:close()
end)

it("registry.lua is registered while it is healthy, through an outage", function()
	local health = node.dir .. "/health"
	assert.are.equal(0, (server.sh("touch " .. health)))
	local program = start(TASKS, "registry", "chat", "10.0.0.1:80", health)
	prints(program, "PUT\t10.0.0.1:80")
	assert(client:put { key = "chat/other", value = '{"Addr":"10.0.0.2:80"}' })
	prints(program, "PUT\t10.0.0.2:80")
	node:stop()
	node:start()
	assert(client:delete "chat/other")
	prints(program, "DELETE\t10.0.0.2:80")
	assert.are.equal(0, (server.sh("rm " .. health)))
	prints(program, "DELETE\t10.0.0.1:80")
	assert.are.equal(0, assert(client:get { key = "chat/", prefix = true }).count)
	assert.are.equal(0, (server.sh("touch " .. health)))
	prints(program, "PUT\t10.0.0.1:80")
	server.sh("pkill -f '[d]aemons/registry.lua chat 10.0.0.1:80 " .. health .. "'")
	program:close()
end)

it("mirror.lua makes another cluster the same, whichever is stopped", function()
	local target = server.start()
	local mirrored = etcd.newclient { endpoints = { target.endpoint }, retry = 100, retry_sleep = 50 }
	assert(mirrored:put { key = "app/old", value = "gone" })
	assert(mirrored:put { key = "other", value = "stays" })
	local ops = {}
	for i = 1, 100 do
		ops[i] = { put = { key = ("app/%03d"):format(i), value = tostring(i) } }
	end
	assert(client:txn { success = ops })
	for i = 1, 100 do
		ops[i] = { put = { key = ("app/%03d"):format(100 + i), value = tostring(i) } }
	end
	assert(client:txn { success = ops })
	local program = start(ALONE, "mirror", "app/", target.endpoint)

	local function content(of)
		local all = {}
		for _, kv in ipairs(assert(of:get { key = "app/", prefix = true }).kvs) do
			all[kv.key] = kv.value
		end
		return all
	end
	local function catch_up(revision)
		repeat
			local at = tonumber((program:read "*l"))
		until at >= revision
		assert.are.same(content(client), content(mirrored))
	end
	catch_up(3)
	target:stop()
	assert(client:put { key = "app/001", value = "new" })
	local last = assert(client:delete "app/002").header.revision
	target:start()
	catch_up(last)
	node:stop()
	node:start()
	last = assert(client:delete { key = "app/1", prefix = true }).header.revision
	catch_up(last)
	assert.are.equal("stays", assert(mirrored:get "other").kvs[1].value)
	assert.are.equal(tostring(last), assert(mirrored:get "mirror:app/").kvs[1].value)
	server.sh("pkill -f '[d]aemons/mirror.lua app/ " .. target.endpoint .. "'")
	program:close()
	mirrored:close()
	target:kill()
end)

it("cron.lua runs once per period, whichever of the fleet is up, and not while etcd is down", function()
	local programs = { start(ALONE, "cron", "job", "1"), start(ALONE, "cron", "job", "1") }
	local function last()
		local kv = assert(client:get "cron/job:last").kvs[1]
		return kv and tonumber(kv.value) or 0
	end
	local function pass(count)
		for _ = 1, count do
			local from = last()
			repeat os.execute "sleep 0.05" until last() > from
		end
	end
	pass(2)
	node:stop()
	node:start()
	pass(3)
	-- The other goes on alone.
	server.sh("pkill -n -f '[d]aemons/cron.lua job 1'")
	pass(2)
	server.sh("pkill -f '[d]aemons/cron.lua job 1'")
	local seen, runs = {}, 0
	for _, program in ipairs(programs) do
		for slot in program:read("*a"):gmatch "run\t([%d:]+)" do
			assert.is_nil(seen[slot], slot)
			seen[slot], runs = true, runs + 1
		end
		program:close()
	end
	assert.is_true(runs >= 5, runs)
end)

it("leader.lua leads alone, through a restart, until it is killed or overthrown", function()
	local observer = assert(client:observe "sweeper")
	local function leads(id)
		repeat
			local kv = assert(observer:read(HANG)).kv
		until (kv and kv.value) == id
	end
	local first = start(TASKS, "leader", "sweeper", "one")
	prints(first, "leads\tone")
	leads "one"
	local second = start(TASKS, "leader", "sweeper", "two")
	local function count() return tonumber((assert(client:get "sweeper:count").kvs[1] or { value = 0 }).value) end
	local function works()
		local from = count()
		repeat os.execute "sleep 0.02" until count() > from
	end
	works()
	node:kill()
	node:start()
	works()
	assert.are.equal("one", observer:kv().value)
	-- The other stands behind it, perhaps anew after the restart.
	repeat until assert(client:get { key = "sweeper/", prefix = true, count_only = true }).count == 2
	-- Overthrown, it hears of it and campaigns again, behind the other.
	assert(client:delete(observer:kv().key))
	prints(first, "leads no longer\tlost")
	repeat
		local line = assert(second:read "*l")
	until line == "leads\ttwo"
	leads "two"
	works()
	server.sh("pkill -KILL -f '[d]aemons/leader.lua sweeper two'")
	second:close()
	prints(first, "leads\tone")
	works()
	server.sh("pkill -KILL -f '[d]aemons/leader.lua sweeper one'")
	first:close()
	observer:close()
end)

it("counter.lua counts each once, with etcd stopped in the middle", function()
	local programs = {}
	for i = 1, 3 do
		programs[i] = start(ALONE, "counter", "visits", "20")
	end
	repeat
		local kv = assert(client:get "visits:count").kvs[1]
	until kv and tonumber(kv.value) > 10
	node:kill()
	node:start()
	local most = 0
	for _, program in ipairs(programs) do
		most = math.max(most, tonumber((program:read "*l")))
		program:close()
	end
	assert.are.equal(60, most)
	assert.are.equal("60", assert(client:get "visits:count").kvs[1].value)
end)
