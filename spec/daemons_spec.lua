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
