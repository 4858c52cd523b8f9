-- skynet: coroutines of a service. The suite has one of its own; others come and go meanwhile.

local skynet = require "skynet"
local socket = require "skynet.socket"
require "skynet.manager"

local port = require "spec.conformance.cases.port"

-- How many services are at work at any time, and how many have been by the end.
local CROWD, SERVICES = 24, 72

local function worker()
	local etcd = require "silly.store.etcd"
	local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" } }
	local prefix = "conformance/skynet/service/" .. skynet.self() .. "/"
	local stream = assert(client:watch { key = prefix, prefix = true })
	local left, seen, token = 10, 0, {}
	for i = 1, left do
		skynet.fork(function()
			assert(client:put { key = prefix .. i, value = tostring(i) })
			assert(client:get({ key = prefix .. i }).kvs[1].value == tostring(i))
			left = left - 1
			skynet.wakeup(token)
		end)
	end
	while seen < 10 do
		seen = seen + #assert(stream:read(60)).events
	end
	while left > 0 do
		skynet.wait(token)
	end
	collectgarbage()
	assert(client:delete({ key = prefix, prefix = true }).deleted == 10)
	-- Leaves with a read under way.
	skynet.fork(function() stream:read() end)
	skynet.yield()
end

local function crowd(t)
	local functions, ended = {}, 0
	for i = 1, CROWD do
		functions[i] = function()
			for _ = 1, SERVICES / CROWD do
				local service = skynet.newservice("skynet", "worker")
				t.equal(true, skynet.call(service, "lua"))
				ended = ended + 1
			end
		end
	end
	t.together(functions)
	t.equal(SERVICES, ended)
end

-- An operator kills the coroutine that watches the core.
local function killed(t, client)
	assert(client:get { key = t.prefix })
	local tasks, watcher = {}, nil
	skynet.task(tasks)
	for name, traceback in pairs(tasks) do
		if traceback:find("loops/skynet.lua", 1, true) then
			watcher = name:match "^thread: %S+"
		end
	end
	assert(skynet.killthread(watcher))
	assert(client:get { key = t.prefix })
end

local function connections()
	local count = 0
	for _, info in ipairs(socket.netstat()) do
		count = count + (info.address == skynet.self() and 1 or 0)
	end
	return count
end

local function suite()
	local failures = require "spec.conformance.suite" {
		name = "skynet",
		run = function(main) main() end,
		fork = skynet.fork,
		kill = function(f)
			local co = skynet.fork(f)
			skynet.yield()
			assert(skynet.killthread(co) == co)
		end,
		event = function()
			local token = {}
			return { wait = function() skynet.wait(token) end, set = function() skynet.wakeup(token) end }
		end,
		inside = true,
		cases = {
			{ name = "many services come and go", run = crowd },
			{ name = "the loop's own coroutine is killed", run = killed },
			port(connections, function() skynet.sleep(1) end),
		},
		leave = skynet.abort,
	}
	if failures > 0 then
		os.exit(1)
	end
end

if ... == "worker" then
	skynet.start(function()
		skynet.dispatch("lua", function()
			worker()
			skynet.retpack(true)
			skynet.exit()
		end)
	end)
else
	skynet.start(suite)
end
