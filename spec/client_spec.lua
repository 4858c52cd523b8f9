-- The client object: what making, closing and forgetting one does, and what becomes of calls when servers fail.
-- In: the shared server, nodes that are killed and paused, one that has no leader, and a port where nobody is. Out:
-- what the calls answer, and how many requests the server has counted.
-- C and a number before a spec's name is the goal of the project that it proves.

local silly = require "silly"
local task = require "silly.task"
local etcd = require "silly.store.etcd"
local schema = require "spec.support.schema"
local server = require "spec.support.etcd"

local NOBODY = "127.0.0.1:1"

local function connect(endpoint, conf)
	conf = conf or {}
	conf.endpoints = { endpoint or server.endpoint() }
	return etcd.newclient(conf)
end

-- Run `source` as a script of its own, which may count its threads and connections, and return what it printed.
local function script(source)
	local path = os.tmpname()
	local file = assert(io.open(path, "w"))
	file:write(([[
		local etcd, ENDPOINT = require "silly.store.etcd", %q
		local function list(what)
			local pipe = io.popen("ls -l /proc/$PPID/" .. what)
			local text = pipe:read("a")
			pipe:close()
			return text
		end
		local function threads()
			return select(2, list("task"):gsub("\nd", ""))
		end
		local function connections()
			return select(2, list("fd"):gsub("socket:", ""))
		end
		local function await_no_connection()
			for _ = 1, 200 do
				if connections() == 0 then
					return
				end
				os.execute("sleep 0.05")
			end
			error "the connection is still there"
		end
	]]):format(server.endpoint()), source)
	file:close()
	local status, output = server.sh("bin/silly-run " .. path)
	os.remove(path)
	assert.are.equal(0, status, output)
	return output
end

local prefix

before_each(function()
	prefix = server.prefix()
end)

-- One call of each kind.
local CALLS = schema.least { key = "a", value = "", TTL = 5 }
CALLS.txn.success = { { put = CALLS.put } }

describe("newclient", function()
	it("needs no server and opens nothing: the first call does", function()
		local output = script [[
			local client = etcd.newclient { endpoints = { ENDPOINT, "127.0.0.1:1" } }
			print(threads(), connections())
			assert(client:get { key = "a" })
			print(threads(), connections())
		]]
		assert.are.equal("1\t0\n2\t1\n", output)
	end)

	it("raises an error that says where and what", function()
		local here = debug.getinfo(1, "S").short_src .. ":" .. debug.getinfo(1, "l").currentline + 1 .. ": "
		local ok, message = pcall(function() etcd.newclient {} end)
		assert.is_false(ok)
		assert.are.equal(here .. "newclient: missing field 'endpoints'", message)
	end)

	it("raises an error for each bad configuration", function()
		local good = { server.endpoint() }
		for _, case in ipairs {
			{ nil, "the configuration must be a table, got nil" },
			{ { endpoints = NOBODY }, "field 'endpoints' must be a list, got a string" },
			{ { endpoints = {} }, "field 'endpoints' must list at least one server" },
			{ { endpoints = { host = NOBODY } }, "field 'endpoints' must be a list, with the keys 1 to n only, but has 'host'" },
			{ { endpoints = { NOBODY, 2379 } }, "field 'endpoints[2]' must be a string, got a number" },
			{ { endpoints = { "host" } }, "field 'endpoints[1]' is not an address: the port is missing, got 'host'" },
			{ { endpoints = { "h:0" } },
				"field 'endpoints[1]' is not an address: the port is no number from 1 to 65535, got 'h:0'" },
			{ { endpoints = { "ftp://h:1" } },
				"field 'endpoints[1]' is not an address: its scheme is none of http, https, unix and srv, got 'ftp://h:1'" },
			{ { endpoint = good, endpoints = good }, "unknown field 'endpoint' (did you mean 'endpoints'?)" },
			{ { endpoint = good }, "unknown field 'endpoint' (did you mean 'endpoints'?)" },
			{ { endpoints = good, retry = -1 }, "field 'retry' must not be negative, got -1" },
			{ { endpoints = good, retry = "many" }, "field 'retry' must be an integer, got 'many'" },
			{ { endpoints = good, retry_sleep = -1 }, "field 'retry_sleep' must not be negative, got -1 (in milliseconds)" },
			{ { endpoints = good, retry_sleep = 0.5 }, "field 'retry_sleep' must be an integer, got 0.5 (in milliseconds)" },
			{ { endpoints = good, timeout = "5" }, "field 'timeout' must be a number of seconds, got a string" },
			{ { endpoints = good, retry_unknown = 1 }, "field 'retry_unknown' must be a boolean, got a number" },
			{ { endpoints = good, timeout = 0 }, "field 'timeout' must be more than 0 seconds" },
			{ { endpoints = good, timeout = -1 }, "field 'timeout' is no number of seconds: -1" },
		} do
			assert.error_matches(function() etcd.newclient(case[1]) end, "newclient: " .. case[2], 1, true)
		end
	end)

	it("tells no password that stands in an address", function()
		for _, address in ipairs { "root:hush@h:1", "http://root:hush@h:1", "ftp://root:hush@h:1" } do
			local ok, message = pcall(etcd.newclient, { endpoints = { address } })
			assert.is_false(ok)
			assert.matches("^newclient: field 'endpoints%[1%]' ", message)
			assert.is_nil(message:find("hush", 1, true))
		end
	end)

	it("leaves its configuration as it is", function()
		local conf = { endpoints = { server.endpoint() }, retry = 1, retry_sleep = 1, timeout = 1 }
		etcd.newclient(conf):close()
		assert.are.same({ endpoints = { server.endpoint() }, retry = 1, retry_sleep = 1, timeout = 1 }, conf)
	end)
end)

describe("a client", function()
	it("shows its endpoints as text, and whether it is closed", function()
		local client = etcd.newclient { endpoints = { "host:1", "http://[::1]:2/", "unix:///run/etcd" } }
		local text = "silly.store.etcd.client: host:1, [::1]:2, unix:///run/etcd"
		assert.are.equal(text, tostring(client))
		client:close()
		assert.are.equal(text .. " (closed)", tostring(client))
	end)

	it("must not be left out of a call", function()
		local client <close> = connect()
		CALLS.close = {}
		for name, req in pairs(CALLS) do
			local service, method = name:match "^(%w+)%.(%w+)$"
			local owner = service and "client." .. service or "client"
			local text = "%s: the first argument is no %s, call it as %s:%s(...)"
			local missing = text:format(method or name, owner, owner, method or name)
			local f = schema.method(client, name)
			assert.error_matches(function() f(req) end, missing, 1, true)
		end
		CALLS.close = nil
	end)

	it("is independent of others", function()
		local one, two <close> = connect(), connect()
		local stream <close> = assert(two:watch { key = prefix })
		assert(one:put { key = prefix, value = "one" })
		one:close()
		assert(two:put { key = prefix, value = "two" })
		assert.are.equal("one", assert(stream:read(30)).events[1].kv.value)
		assert.are.equal("two", assert(stream:read(30)).events[1].kv.value)
		assert.are.equal("closed", select(3, one:get { key = prefix }).code)
	end)
end)

describe("close", function()
	local function assert_closed(name, answer, message, info)
		assert.is_nil(answer)
		assert.are.equal(name .. ": closed: the client is closed", message)
		assert.are.same({ code = "closed", applied = "no" }, server.plain(info))
	end

	it("makes every later call answer so, and may be repeated", function()
		local client = connect()
		assert(client:get { key = prefix })
		client:close()
		client:close()
		for name, req in pairs(CALLS) do
			assert_closed(name, schema.run(client, name, req))
		end
		client:close()
	end)

	it("closes the connection", function()
		script [[
			local client = etcd.newclient { endpoints = { ENDPOINT } }
			assert(client:watch { key = "a" })
			assert(client:grant { TTL = 60 })
			assert(connections() == 1)
			client:close()
			await_no_connection()
		]]
	end)

	it("comes with the collector", function()
		script [[
			local client = etcd.newclient { endpoints = { ENDPOINT } }
			assert(client:watch { key = "a" })
			assert(client:grant { TTL = 60, keepalive = false })
			assert(connections() == 1)
			client = nil
			collectgarbage()
			collectgarbage()
			await_no_connection()
		]]
	end)

	for how, ends in pairs {
		["its renewal is stopped"] = "keepalive { ID = lease.ID, keepalive = false }",
		["it is revoked"] = "revoke(lease.ID)",
	} do
		it("does not come with the collector while a lease is renewed, until " .. how, function()
			script([[
			local forgotten = setmetatable({}, { __mode = "v" })
			local lease
			local function use()
				local client = etcd.newclient { endpoints = { ENDPOINT } }
				lease = assert(client:grant { TTL = 60 })
				forgotten.client = client
			end
			use()
			for _ = 1, 3 do
				collectgarbage()
			end
			assert(forgotten.client:]] .. ends .. [[)
			for _ = 1, 3 do
				collectgarbage()
			end
			assert(forgotten.client == nil)
			await_no_connection()
			]])
		end)
	end

	it("comes with the collector once a lease is lost", function()
		script [[
			local forgotten = setmetatable({}, { __mode = "v" })
			local other = etcd.newclient { endpoints = { ENDPOINT } }
			local function use()
				local client = etcd.newclient { endpoints = { ENDPOINT } }
				local renewals = assert(client:keepalive(assert(client:grant { TTL = 60 }).ID))
				assert(renewals:read())
				assert(other:revoke(renewals.ID))
				repeat
					local answer, _, info = renewals:read(30)
				until not answer and info.code == "lease_expired"
				forgotten.client = client
			end
			use()
			collectgarbage()
			collectgarbage()
			assert(forgotten.client == nil)
		]]
	end)

	it("is nothing more where the collector has come before, at the end of the lua_State", function()
		local output = script [[
			local client, stream, renewals
			-- It is older than they are, and so it comes after them.
			setmetatable({}, { __gc = function()
				renewals:close()
				stream:close()
				client:close()
				print(client)
				print(stream)
			end })
			client = etcd.newclient { endpoints = { ENDPOINT } }
			stream = assert(client:watch { key = "a" })
			renewals = assert(client:keepalive(assert(client:grant { TTL = 60 }).ID))
		]]
		assert.are.equal("silly.store.etcd.client: ... (collected)\n"
			.. "silly.store.etcd.watch: ... (collected)\n", output)
	end)

	it("comes before the first call too", function()
		local client = connect()
		client:close()
		assert_closed("get", client:get { key = prefix })
	end)

	it("comes with <close>", function()
		local kept
		do
			local client <close> = connect()
			kept = client
		end
		assert_closed("get", kept:get { key = prefix })
	end)

	it("ends what a keepalive object would write", function()
		local client = connect()
		local stream = assert(client:keepalive { ID = assert(client:grant { TTL = 60 }).ID })
		client:close()
		assert_closed("keepalive", stream:write())
	end)

	it("ends calls between two attempts", function()
		local client = connect(NOBODY, { retry = 1, retry_sleep = 3600000 })
		local answers = {}
		silly.run(function()
			for name, req in pairs(CALLS) do
				task.fork(function() answers[name] = table.pack(schema.run(client, name, req)) end)
			end
			silly.sleep(0)
			client:close()
		end)
		for name in pairs(CALLS) do
			assert_closed(name, table.unpack(answers[name], 1, 3))
		end
	end)
end)

describe("a server that stands still", function()
	local node, client

	-- A client that has reached it before.
	local function connected()
		node:resume()
		local fresh = connect(node.endpoint, { timeout = 0.2, retry = 0 })
		assert(fresh:get { key = prefix, timeout = 30 })
		node:pause()
		return fresh
	end

	before_each(function()
		node = node or server.start()
		client = connected()
	end)

	after_each(function()
		client:close()
		node:resume()
	end)

	lazy_teardown(function()
		node:kill()
	end)

	it("C5: fails a call when its time is over", function()
		local late = ": deadline_exceeded: no response within %s s (" .. node.endpoint .. ")"
		for name, applied in pairs { get = "no", put = "maybe", delete = "maybe", grant = "maybe", leases = "no" } do
			local answer, message, info = schema.run(client, name, CALLS[name])
			assert.is_nil(answer)
			assert.are.equal(name .. late:format("0.2"), message)
			assert.are.same({ code = "deadline_exceeded", applied = applied, endpoint = node.endpoint }, server.plain(info))
			-- A connection on which nothing is heard for a second is given up.
			client:close()
			client = connected()
		end
		local _, message = client:get { key = prefix, timeout = 0.1, retry = 1, retry_sleep = 1 }
		assert.are.equal("get" .. late:format("0.1") .. ", after 2 attempts", message)
	end)

	it("leaves calls and watches under way, which close ends", function()
		local answers = {}
		local waiting = connect(node.endpoint, { timeout = 60 })
		node:resume()
		local stream = assert(waiting:watch { key = prefix })
		node:pause()
		silly.run(function()
			for name, req in pairs(CALLS) do
				-- When the node goes on, it does this; and has no majority without that member.
				if name ~= "cluster.add" then
					task.fork(function() answers[name] = table.pack(schema.run(waiting, name, req)) end)
				end
			end
			task.fork(function() answers.read = table.pack(stream:read()) end)
			silly.sleep(0)
			-- When this one has given up, the others have been sent.
			waiting:get { key = prefix, timeout = 0.1, retry = 0 }
			assert.is_nil(next(answers))
			waiting:close()
		end)
		-- They read before they write.
		local reading = { increment = true, ["maintenance.disarm"] = true, ["maintenance.moveleader"] = true }
		for name, answer in pairs(answers) do
			if name ~= "read" then
				local maybe = schema.requests[name].writes and not reading[name]
				assert.is_nil(answer[1])
				assert.are.equal(name .. ": closed: the client is closed", answer[2])
				assert.are.same({ code = "closed", applied = maybe and "maybe" or "no" }, server.plain(answer[3]), name)
			end
		end
		assert.are.equal("watch: closed: the client is closed", answers.read[2])
	end)

	it("leaves the clients of calls that are under way alive, though they are forgotten", function()
		local answers = {}
		local function ask(name, call)
			task.fork(function() answers[name] = table.pack(call()) end)
		end
		node:resume()
		local function reader(stream)
			return function() return stream:read() end
		end
		local events = assert(connect(node.endpoint):watch { key = prefix }):events()
		silly.run(function()
			ask("read", reader(assert(connect(node.endpoint):watch { key = prefix })))
			ask("event", events)
			events = nil
			assert(client:get { key = prefix, timeout = 30 })
			node:pause()
			ask("get", function() return connect(node.endpoint, { timeout = 30 }):get { key = prefix } end)
			silly.sleep(0)
			-- When this one has given up, the others are under way.
			assert.is_nil((client:get { key = prefix }))
			assert.is_nil(next(answers))
			collectgarbage()
			collectgarbage()
			node:resume()
			assert(client:put { key = prefix, value = "v", timeout = 30 })
		end)
		for name, answer in pairs(answers) do
			assert.is_truthy(answer[1], name .. ": " .. tostring(answer[2]))
		end
	end)

	it("C2: and is killed with writes under way gets those again that may be repeated, and no others", function()
		local patient = connect(node.endpoint, { timeout = 60, retry = 1000, retry_sleep = 20 })
		local answers = {}
		local calls = {
			once = { "put", { key = prefix .. "once", value = "" } },
			txn = { "txn", { success = { { put = { key = prefix .. "once", value = "" } } } } },
			unknown = { "put", { key = prefix .. "unknown", value = "", retry_unknown = true } },
			read = { "get", { key = prefix } },
			grant = { "grant", { TTL = 60, keepalive = false } },
		}
		node:resume()
		assert(patient:get { key = prefix })
		node:pause()
		silly.run(function()
			for name, call in pairs(calls) do
				task.fork(function() answers[name] = table.pack(patient[call[1]](patient, call[2])) end)
			end
			silly.sleep(0)
			patient:get { key = prefix, timeout = 0.1, retry = 0 }
			assert.is_nil(next(answers))
			node:kill()
			node:start()
		end)
		for _, name in ipairs { "once", "txn" } do
			assert.is_nil(answers[name][1])
			assert.matches("^" .. calls[name][1] .. ": unavailable: .* %(" .. node.endpoint .. "%)$", answers[name][2])
			assert.are.same(
				{ code = "unavailable", applied = "maybe", endpoint = node.endpoint },
				server.plain(answers[name][3])
			)
		end
		for _, name in ipairs { "unknown", "read", "grant" } do
			assert(table.unpack(answers[name], 1, 2))
		end
		assert.are.equal(0, assert(patient:get { key = prefix .. "once" }).count)
		assert.are.equal(1, assert(patient:get { key = prefix .. "unknown" }).kvs[1].version)
		assert.are.equal(60, assert(patient:ttl { ID = answers.grant[1].ID }).grantedTTL)
		patient:close()
	end)
end)

describe("a server that is not there", function()
	it("C1: fails a call after its retries, which certainly changed nothing", function()
		local client <close> = connect(NOBODY, { retry = 2, retry_sleep = 1 })
		for name, req in pairs(CALLS) do
			if not schema.waits[name] then
				local answer, message, info = schema.run(client, name, req)
				assert.is_nil(answer)
				assert.are.equal(name .. ": unavailable: connection refused (" .. NOBODY .. "), after 3 attempts", message)
				assert.are.equal(3, info.attempts)
				assert.is_true(info.elapsed >= 0.002, info.elapsed)
				assert.are.same({ [NOBODY] = "connection refused" }, info.causes)
				assert.is_nil(info.server_message)
				assert.are.same({ code = "unavailable", applied = "no", endpoint = NOBODY }, server.plain(info))
			end
		end
	end)

	it("C1: is what objects wait for that may outlast it, and say so", function()
		local client <close> = connect(NOBODY, { deadline = 2 })
		for name in pairs(schema.waits) do
			local answer, message, info = schema.run(client, name, CALLS[name])
			assert.is_nil(answer)
			assert.matches("within [%d.]+m?s: connection refused", message)
			assert.are.same({ code = "unavailable", applied = "no", endpoint = NOBODY }, server.plain(info))
		end
	end)

	it("C3: is passed over where another is, without a retry", function()
		for i = 1, 20 do
			local client <close> = etcd.newclient {
				endpoints = i % 2 == 0 and { NOBODY, server.endpoint() } or { server.endpoint(), NOBODY }, retry = 0,
			}
			local key = prefix .. i
			local stream <close> = assert(client:watch { key = key })
			assert(client:put { key = key, value = "v" })
			assert.are.equal(1, assert(client:get { key = key }).kvs[1].version)
			assert.are.equal("v", assert(stream:read(30)).events[1].kv.value)
			assert(client:revoke { ID = assert(client:grant { TTL = 60 }).ID })
		end
	end)

	it("C12: costs hardly any of the machine's time while calls, a watch and a lease wait for it", function()
		local output = script(([[
			local silly, task = require "silly", require "silly.task"
			local client = etcd.newclient { endpoints = { %q, "127.0.0.1:2", "127.0.0.1:3" }, retry = 1000 }
			for i = 1, 10 do
				task.fork(function() client:get { key = "a" } end)
				task.fork(function() client:put { key = "a", value = "" } end)
			end
			task.fork(function() client:watch { key = "a", revision = 1 } end)
			task.fork(function() client:keepalive { ID = 1 } end)
			silly.sleep(1000)
			local before = os.clock()
			silly.sleep(3000)
			io.write(os.clock() - before)
			client:close()
		]]):format(NOBODY))
		assert.is_true(tonumber(output) <= 0.02 * 3, output .. " s of 3 s")
	end)

	it("C3: gets the calls once it is there", function()
		local node = server.start()
		finally(function() node:kill() end)
		local client <close> = connect(node.endpoint, { retry = 1000, retry_sleep = 20 })
		node:kill()
		-- A process that is being killed may still take connections.
		repeat
			local _, message = client:get { key = prefix, retry = 0 }
		until message:find("connection refused", 1, true)
		local version, watched
		silly.run(function()
			task.fork(function()
				assert(client:put { key = prefix, value = "v" })
				version = assert(client:get { key = prefix }).kvs[1].version
			end)
			task.fork(function()
				watched = assert(client:watch { key = prefix, revision = 1 }):read(30)
			end)
			silly.sleep(0)
			node:start()
		end)
		assert.are.equal(1, version)
		assert.are.equal("v", watched.events[1].kv.value)
	end)
end)

describe("a server without a leader", function()
	local node, client

	-- Ask the node on one of its ports, with a request in the form of printf.
	local function http(number, request)
		local file = assert(io.open(node.dir .. "/ports"))
		local port = file:read("a"):match(("%d+ "):rep(number - 1) .. "(%d+)")
		file:close()
		return select(2, server.sh(([[bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; printf "$0" >&3; cat <&3' '%s']])
			:format(port, request)))
	end

	local function requests(type)
		local text = http(3, [[GET /metrics HTTP/1.0\r\n\r\n]])
		local pattern = '\netcd_server_client_requests_total{client_api_version="[^"]*",type="' .. type .. '"} (%d+)'
		return tonumber(text:match(pattern) or 0)
	end

	lazy_setup(function()
		node = server.start()
		-- With a second member that never comes the first one has no majority.
		local member = [[{"peerURLs":["http://127.0.0.1:1"]}]]
		http(1, ([[POST /v3/cluster/member/add HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s]]):format(#member, member))
		client = connect(node.endpoint, { retry = 2, retry_sleep = 1 })
		for _ = 1, 100 do
			local answer, _, info = client:get { key = "a", timeout = 0.2, retry = 0 }
			if not answer and info.code == "unavailable" then
				return
			end
		end
		error "the node still has a leader"
	end)

	lazy_teardown(function()
		client:close()
		node:kill()
	end)

	local function assert_refused(name, answer, message, info)
		assert.is_nil(answer)
		local count = info.attempts > 1 and ", after " .. info.attempts .. " attempts" or ""
		assert.are.equal(name .. ": unavailable: etcdserver: no leader (" .. node.endpoint .. ")" .. count, message)
		assert.are.same({ code = "unavailable", applied = "no", endpoint = node.endpoint }, server.plain(info))
		assert.are.equal("etcdserver: no leader", info.server_message)
		assert.are.same({ [node.endpoint] = "etcdserver: no leader" }, info.causes)
	end

	it("C3: is asked once more for each retry, for reads and writes alike", function()
		for name, type in pairs { get = "unary", put = "unary", grant = "unary", txn = "unary", keepalive = "stream" } do
			local before = requests(type)
			assert_refused(name, schema.run(client, name, CALLS[name]))
			assert.are.equal(before + 3, requests(type), name)
			for _, retry in ipairs { 0, 1, 5 } do
				before = requests(type)
				local req = setmetatable({ retry = retry }, { __index = CALLS[name] })
				assert_refused(name, schema.run(client, name, req))
				assert.are.equal(before + retry + 1, requests(type), name)
			end
		end
	end)

	it("is asked once more for each retry of a watch", function()
		for _, retry in ipairs { 0, 1, 5 } do
			local before = requests "stream"
			assert_refused("watch", client:watch { key = "a", revision = 1, retry = retry })
			assert.are.equal(before + retry + 1, requests "stream")
		end
	end)

	it("is not asked again before retry_sleep is over", function()
		local before = requests "unary"
		local answer
		silly.run(function()
			local patient = connect(node.endpoint, { retry_sleep = 3600000 })
			task.fork(function() answer = table.pack(patient:get { key = "a" }) end)
			silly.sleep(0)
			for _ = 1, 1000 do
				if requests "unary" > before then
					break
				end
			end
			client:get { key = "a", retry = 0 }
			patient:close()
		end)
		assert.are.equal("closed", answer[3].code)
		assert.are.equal(before + 2, requests "unary")
	end)

	it("C9: answers only a read that is content with what one member has", function()
		assert(client:get { key = "a", serializable = true })
		assert_refused("get", client:get { key = "a", serializable = false })
		assert_refused("get", client:get { key = "a" })
	end)
end)

describe("a finalizer that comes late, at the end of the lua_State, #hosts", function()
	-- Older than what it uses, and so it comes after that.
	local FINALIZER = [[
		local function finalizer(finalize)
			local newproxy = rawget(_G, "newproxy")
			local object = newproxy and newproxy(true) or setmetatable({}, { __gc = finalize })
			if newproxy then
				getmetatable(object).__gc = finalize
			end
			return object
		end
	]]

	for what, case in pairs {
		["makes a client"] = { "true\n", [[
			local etcd = require "silly.store.etcd"
			kept = finalizer(function() print(etcd.newclient(conf):get "never" ~= nil) end)
			etcd.newclient(conf)
		]] },
		["watches"] = { "timeout\n", [[
			local client = require "silly.store.etcd".newclient(conf)
			kept = finalizer(function()
				local stream = client:watch "never"
				print((select(2, stream:read(0.001))))
				stream:close()
			end)
			client:watch "never"
		]] },
		["chooses a loop"] = { "false\n", [[
			local etcd
			kept = finalizer(function() print((pcall(etcd.use, "skynet"))) end)
			etcd = require "silly.store.etcd"
		]] },
	} do
		it("still " .. what, function()
			local path = os.tmpname()
			finally(function() os.remove(path) end)
			local file = assert(io.open(path, "w"))
			file:write(("local conf = { endpoints = { %q } }\n"):format(server.endpoint()), FINALIZER, case[2])
			file:close()
			server.each_lua(function(lua, cpath)
				local status, output = server.sh(("LUA_CPATH='%s' timeout 60 %s %s"):format(cpath, lua, path))
				assert.are.same({ 0, case[1] }, { status, output }, lua)
			end)
		end)
	end
end)
