-- What happens to a client, as its records tell it. In: an etcd of the spec's own, which is stopped, paused and started
-- again, and what others take away. Out: the story of each fault, in order, without a value or a secret in it.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 60 -- seconds, after which a read is taken to hang

local node, client, records, prefix

local function connect(fields)
	local conf = { endpoints = { node.endpoint }, level = "info", retry = 100, retry_sleep = 50 }
	for name, value in pairs(fields or {}) do
		conf[name] = value
	end
	client = etcd.newclient(conf)
	records = assert(client:records())
end

-- Reads until a record of this event comes; returns it and the events before it.
local function await(event)
	local before = {}
	while true do
		local record, message = records:read(HANG)
		assert(record, ("%s does not come, after %s: %s"):format(event, table.concat(before, ", "), tostring(message)))
		if record.event == event then
			return record, before
		end
		before[#before + 1] = record.event
	end
end

before_each(function()
	node, prefix = server.start(), server.prefix()
end)

after_each(function()
	client:close()
	node:kill()
end)

describe("records", function()
	it("tell of a server that goes and comes back", function()
		connect()
		local before = os.time()
		local stream = assert(client:watch { key = prefix, prefix = true })
		local connected = await "connected"
		assert.are.equal("info", connected.level)
		assert.are.equal(node.endpoint, connected.endpoint)
		assert.is_true(connected.seconds > 0)
		assert.is_true(connected.time >= before and connected.time <= os.time() + 1)
		assert.are.same({ 0, 0 }, { connected.repeated, connected.missed })
		node:stop()
		local told = {}
		while not (told.disconnected and told.watches_cut and told.unreachable and told.down) do
			local record = assert(records:read(HANG))
			told[record.event] = record
		end
		assert.are.equal("warn", told.disconnected.level)
		assert.are.equal("warn", told.watches_cut.level)
		assert.are.equal(node.endpoint, told.unreachable.endpoint)
		assert.are.equal("unavailable", told.unreachable.code)
		assert.are.equal("error", told.down.level)
		node:start()
		assert(client:put { key = prefix, value = "1" })
		assert(stream:read(HANG))
		local resumed = await "watches_resumed"
		assert.is_true(resumed.seconds > 0)
	end)

	it("tell that a server responds again, once", function()
		connect()
		assert(client:get(prefix))
		node:stop()
		assert.is_nil((client:get { key = prefix, retry = 0 }))
		await "down"
		assert.is_nil((client:get { key = prefix, retry = 0 }))
		node:start()
		assert(client:get(prefix))
		local _, before = await "up"
		for _, event in ipairs(before) do
			assert.are_not.equal("down", event)
		end
	end)

	it("tell of a repeated event once in a second, and how many there were", function()
		connect { level = "warn" }
		node:stop()
		local deadline = os.time() + 3
		while os.time() < deadline do
			client:get { key = prefix, retry = 3 }
		end
		local told = {}
		while true do
			local record = records:read(0)
			if not record then
				break
			elseif record.event == "unreachable" then
				told[#told + 1] = record
			end
		end
		assert.is_true(#told >= 2)
		for i = 2, #told do
			assert.is_true(told[i].time - told[i - 1].time > 0.9)
		end
		assert.are.equal(0, told[1].repeated)
		assert.is_true(told[2].repeated > 0)
	end)

	it("tell of a slow call, by its key", function()
		connect { slow = 0.2, level = "warn" }
		local key = prefix .. ("k"):rep(200)
		assert(client:put { key = key, value = "a secret" })
		node:pause()
		assert.is_nil((client:put { key = key, value = "another secret", timeout = 0.3, retry = 0 }))
		node:resume()
		local slow
		repeat
			slow = await "slow"
		until slow.code
		assert.are.same({ "put", key:sub(1, 100), "deadline_exceeded", "warn" },
			{ slow.call, slow.key, slow.code, slow.level })
		assert.is_true(slow.seconds >= 0.2)
		assert.are.equal(1, slow.attempts)
		for _, value in pairs(slow) do
			assert.is_nil(tostring(value):find("secret", 1, true))
		end
	end)

	it("tell of a lease, a lock and a registration that are taken away", function()
		connect()
		local other <close> = etcd.newclient { endpoints = { node.endpoint } }
		local lock = assert(client:lock(prefix .. "/lock"))
		local entry = assert(client:register { key = prefix .. "/entry", value = "v" })
		assert.are.equal(prefix .. "/entry", await("registered").key)
		for _, lease in ipairs(assert(other:leases()).leases) do
			assert(other:revoke(lease.ID))
		end
		assert(lock:wait(HANG))
		local told = {}
		while not (told.lock_lost and told.registration_lost and told.registered) do
			local record = assert(records:read(HANG))
			told[record.event] = record
		end
		assert.are.equal("error", told.lock_lost.level)
		assert.is_truthy(told.lock_lost.key:find(prefix .. "/lock/", 1, true))
		assert.are.equal("warn", told.registration_lost.level)
		entry:close()
	end)

	it("tell of a watch that has ended, and of a cache that was loaded", function()
		connect()
		assert(client:put { key = prefix, value = "1" })
		local last = assert(client:put { key = prefix, value = "2" }).header.revision
		assert(client:compact { revision = last, physical = true })
		local stream = assert(client:watch { key = prefix, revision = 1 })
		assert.is_nil((stream:read(HANG)))
		local ended = await "watch_ended"
		assert.are.same({ "compacted", prefix, "warn" }, { ended.code, ended.key, ended.level })
		local copy <close> = assert(client:cache(prefix)) -- luacheck: ignore
		local loaded = await "cache_loaded"
		assert.are.same({ prefix, "info" }, { loaded.key, loaded.level })
		assert.is_truthy(loaded.message:find "^1 keys")
	end)

	it("end with the client, once all were read, and each reader gets all", function()
		connect()
		local second = assert(client:records())
		local third = assert(client:records())
		assert(client:get(prefix))
		third:close()
		client:close()
		for _, reader in ipairs { records, second } do
			local events = {}
			for record in reader:entries() do
				events[#events + 1] = record.event
			end
			assert.are.same({ "connected" }, events)
			assert.are.equal("closed", select(3, reader:read()).code)
		end
		assert.are.equal("silly.store.etcd.records: silly.store.etcd.client: " .. node.endpoint .. " (closed)",
			tostring(second))
	end)

	it("tell only what matters as much as the configuration says", function()
		connect { level = "error" }
		assert(client:get(prefix))
		node:stop()
		assert.is_nil((client:get { key = prefix, retry = 1 }))
		local record = assert(records:read(HANG))
		assert.are.equal("down", record.event)
		assert.are.equal("timeout", select(2, records:read(0)))
	end)
end)

describe("newclient", function()
	it("refuses a level and a slow that are none", function()
		connect()
		for _, case in ipairs {
			{ "level", "debug", "newclient: field 'level' must be \"error\", \"warn\" or \"info\", got 'debug'" },
			{ "level", 3, "newclient: field 'level' must be a string, got a number" },
			{ "slow", 0, "newclient: field 'slow' must be more than 0 seconds" },
			{ "slow", "x", "newclient: field 'slow' must be a number of seconds, got a string" },
		} do
			local ok, message = pcall(etcd.newclient, { endpoints = { node.endpoint }, [case[1]] = case[2] })
			assert.is_false(ok)
			assert.is_truthy(message:find(case[3], 1, true), message)
		end
	end)
end)

describe("the function log", function()
	-- What a program prints, and what it writes to stderr.
	local function run(source)
		local path = os.tmpname()
		local file = assert(io.open(path, "w"))
		file:write(source)
		file:close()
		local status, output = server.sh(("env LUA_PATH='%s' LUA_CPATH='%s' ETCD=%s timeout 60 lua%s %s 2>&1"):format(
			package.path, package.cpath, node.endpoint, _VERSION:match "%d.%d", path))
		os.remove(path)
		assert(status == 0, output)
		return output
	end

	before_each(function()
		connect()
	end)

	it("is called at the end of a call that blocks, until the client is closed", function()
		local told = {}
		local own = etcd.newclient { endpoints = { node.endpoint }, level = "info", log = function(level, message, record)
			told[#told + 1] = { level, message, record.event }
		end }
		for _ = 1, 100 do
			assert(own:get(prefix))
		end
		assert.are.same({ { "info", "there is a connection", "connected" } }, told)
		own:close()
		assert.is_nil((own:get(prefix)))
		assert.are.equal(1, #told)
	end)

	it("that fails or waits changes nothing, and is told once", function()
		local output = run [[
			local etcd = require "silly.store.etcd"
			for _, log in ipairs {
				function() error "on purpose" end,
				function() coroutine.yield() end,
			} do
				local client
				client = etcd.newclient { endpoints = { os.getenv "ETCD" }, level = "info", slow = 0.000001, log = log }
				for _ = 1, 100 do
					assert(client:get "a")
				end
				client:close()
			end
			print "done"
		]]
		local lines = {}
		for line in output:gmatch "[^\n]+" do
			lines[#lines + 1] = line:gsub("/tmp/%S+ ", "")
		end
		assert.are.same({
			"silly.store.etcd: the function 'log' has failed: on purpose",
			"silly.store.etcd: the function 'log' has failed: it must not wait",
			"done",
		}, lines)
	end)

	it("may call the client", function()
		local values = {}
		local own
		own = etcd.newclient { endpoints = { node.endpoint }, level = "info", log = function()
			values[#values + 1] = assert(own:get(prefix)).count
		end }
		for _ = 1, 100 do
			assert(own:get(prefix))
		end
		assert.are.same({ 0 }, values)
		own:close()
	end)

	it("does not keep the client from being collected", function()
		local weak = setmetatable({}, { __mode = "v" })
		do
			local own = etcd.newclient { endpoints = { node.endpoint }, log = print }
			assert(own:get(prefix))
			weak[1] = own
		end
		collectgarbage()
		collectgarbage()
		assert.is_nil(weak[1])
	end)

	it("must be a function", function()
		local ok, message = pcall(etcd.newclient, { endpoints = { node.endpoint }, log = "print" })
		assert.is_false(ok)
		assert.is_truthy(message:find("newclient: field 'log' must be a function, got a string", 1, true), message)
	end)
end)
