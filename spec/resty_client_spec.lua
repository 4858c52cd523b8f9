-- The object of silly.resty.etcd in nginx: its options, failures, phases, what stands behind it; and outside of nginx.
-- In: cases that run in a worker, see spec/support/resty/worker.lua; nodes with users and with TLS. Out: their results.

local base64 = require "silly.resty.etcd.base64"
local etcd = require "silly.store.etcd"
local nginx = require "spec.support.nginx"
local server = require "spec.support.etcd"
local worker = require "spec.support.resty.worker"

local run, test = worker.run, worker.test(it, pending)

local UNREACHABLE = "has no healthy etcd endpoint available"
local REFUSED = "get: failed_precondition: nothing can wait in the phase '%s'; call this in rewrite, access or "
	.. "content, or where the request needs no answer in a timer: ngx.timer.at(0, ...)"

describe("the object of silly.resty.etcd #hosts", function()
	lazy_setup(worker.setup)
	lazy_teardown(worker.teardown)
	before_each(worker.clear)

	describe("new", function()
		local BAD = {
			["opts must be table"] = "1",
			["only support etcd v3 api"] = '{ protocol = "v2" }',
			["opts.timeout must be unsigned integer"] = "{ timeout = 0.5 }",
			["opts.http_host must be string or string array"] = "{ http_host = 1 }",
			["opts.ttl must be integer"] = '{ ttl = "1" }',
			["opts.key_prefix must be string"] = "{ key_prefix = 1 }",
			["opts.user must be string or ignore"] = "{ user = 1 }",
			["opts.password must be string or ignore"] = "{ password = 1 }",
			["opts.unix_socket_proxy must be string or ignore"] = "{ unix_socket_proxy = 1 }",
			["invalid http host: http://a_b, err: not matched"] = '{ http_host = { "http://a", "http://a_b" } }',
			["invalid http host: 127.0.0.1:2379, err: not matched"] = '{ http_host = "127.0.0.1:2379" }',
		}

		for message, opts in pairs(BAD) do
			test("refuses " .. opts, function()
				assert.are.same({ n = 2, nil, message }, table.pack(run('return require "resty.etcd".new(' .. opts .. ")")))
			end)
		end

		test("tells what it has been given", function()
			assert.are.same({
				{ scheme = "https", host = "[::1]", port = "2379", http_host = "https://[::1]" },
				{ scheme = "https", host = "b-c.d", port = "1", http_host = "https://b-c.d:1" },
			}, run [[return require "resty.etcd".new({ http_host = { "https://[::1]", "https://b-c.d:1" } }).endpoints]])
			assert.are.same({ "http://127.0.0.1:2379", 5, "" }, run [[
				local cli = require "resty.etcd".new()
				return { cli.endpoints[1].http_host, cli.timeout, cli.key_prefix }
			]])
		end)

		test("takes options that have no effect, and changes none", function()
			assert.are.same({ 200, "v3" }, run [[
				local opts = { http_host = "http://" .. os.getenv "ETCD_ENDPOINTS", protocol = "v3", api_prefix = "/v3",
					ttl = -1, init_count = 3, use_grpc = true }
				local cli = require "resty.etcd".new(opts)
				assert(opts.timeout == nil and opts.serializer == nil and cli.use_grpc == false)
				return { cli:set("a", "b").status, opts.protocol }
			]])
		end)
	end)

	describe("a failure", function()
		test("is told by etcd's endpoint and as lua-resty-etcd tells it, with the info of this client", function()
			local none, message, info = run [[
				return new { http_host = { "http://127.0.0.1:1", "http://127.0.0.1:2" } }:set("k", 1)
			]]
			assert.are.same({ nil, UNREACHABLE }, { none, message })
			assert.are.same({ "unavailable", "no", 2 }, { info.code, info.applied, info.attempts })
			assert.are.same({ n = 2, nil, UNREACHABLE },
				table.pack(run [[return new { http_host = "http://127.0.0.1:1" }:watch "k"]]))
			local told = "update endpoint: http://127.0.0.1:1 to unhealthy: connection refused"
			assert.is_truthy(nginx.errors():find(told, 1, true))
		end)

		test("of one endpoint is not that of the call", function()
			assert.are.same({ 200, true, false, true }, run([[
				local health = require "resty.etcd.health_check"
				health.init()
				local hosts = { "http://127.0.0.1:1", "http://" .. arg.endpoint }
				local status = new { http_host = hosts, init_count = -1 }:set("k", 1).status
				return { status, new { http_host = hosts }:watch "k" ~= nil,
					health.get_target_status(hosts[1]), health.get_target_status(hosts[2]) }
			]], { endpoint = worker.node.endpoint }))
		end)

		test("by time names the endpoint, and comes after the timeout of the call or of the object", function()
			finally(function() worker.node:resume() end)
			worker.node:pause()
			local TIMEOUT = "http://" .. worker.node.endpoint .. ": timeout"
			assert.are.same({ { TIMEOUT, true }, TIMEOUT },
				run [[
					local function call(cli, opts)
						local before = ngx.now()
						local res, message = cli:set("k", 1, opts)
						ngx.update_time()
						return message, ngx.now() - before >= 1
					end
					local message, waited = call(new { timeout = 1 })
					return { { message, waited }, (call(new { timeout = 60 }, { timeout = 0.1 })) }
				]])
		end)

		test("of time does not come at once with a timeout of 0", function()
			assert.are.same({ 200, 200 }, run [[
				return { new { timeout = 0 }:set("k", 1).status, new():get("k", { timeout = 0 }).status }
			]])
		end)
	end)

	describe("the settings of health checks", function()
		test("have the defaults and the texts of lua-resty-etcd", function()
			assert.are.same({
				{ fail_timeout = 10, max_fails = 1, retry = false }, "failed to get ngx.shared dict: none", "round-robin",
				"shared-dict", "disabled", "etcd host invalid",
			}, run [[
				local health = require "resty.etcd.health_check"
				health.conf = nil
				local list = { assert(health.init()).conf, (select(2, health.init { shm_name = "none" })), health.get_check_mode() }
				assert(health.init { shm_name = "health" }.conf.shm_name == "health")
				list[4] = health.get_check_mode()
				health.disable()
				list[5], list[6] = health.get_check_mode(), select(2, health.report_failure())
				return list
			]])
		end)

		test("have nothing told in their words where they are disabled", function()
			-- Calls until this is told, with the next call at the latest.
			local function tells(text, port)
				nginx.await(function()
					run([[new { http_host = "http://127.0.0.1:" .. arg }:get "k"]], port)
					return nginx.errors():find(text, 1, true)
				end)
			end
			run [[require "resty.etcd.health_check".disable()]]
			tells("etcd: unreachable 127.0.0.1:3: connection refused", 3)
			assert.is_nil(nginx.errors():find("update endpoint: http://127.0.0.1:3", 1, true))
			run [[
				local health = require "resty.etcd.health_check"
				health.conf = nil
				health.init()
			]]
			tells("update endpoint: http://127.0.0.1:4 to unhealthy: connection refused", 4)
		end)

		test("count for the endpoints that a program reports as failed", function()
			local list = run([[
				local health = require "resty.etcd.health_check"
				health.conf = nil
				assert(new() and health.conf.max_fails == 1)
				health.conf = nil
				health.init { max_fails = 2, fail_timeout = 1 }
				local port = arg.endpoint:match "%d+$"
				local one, other = "http://127.0.0.1:" .. port, "http://localhost:" .. port
				local cli = new { http_host = { one, other } }
				local function used() return #cli.client:endpoints() end
				local list = { cli:set("k", 1).status, used() }
				health.report_failure(one)
				list[3] = cli:set("k", 1).status and used()
				health.report_failure(one)
				list[4], list[5] = cli:set("k", 1).status and used(), health.get_target_status(one)
				health.report_failure(other)
				health.report_failure(other)
				list[6], list[7] = select(2, cli:set("k", 1)), select(2, cli:watch "k")
				while not health.get_target_status(one) or not health.get_target_status(other) do
					ngx.sleep(0.05)
				end
				list[8] = cli:set("k", 1).status and used()
				return list
			]], { endpoint = worker.node.endpoint })
			assert.are.same({ 200, 2, 2, 1, false, UNREACHABLE, UNREACHABLE, 2 }, list)
			assert.is_truthy(nginx.errors():find("update endpoint: http://127.0.0.1:%d+ to unhealthy\n?"))
		end)
	end)

	test("a value may be as large as the server takes it", function()
		local node = server.start { flags = { "--max-request-bytes=8000000" } }
		finally(function() node:kill() end)
		assert.are.same({ 200, 4000000 }, run([[
			local cli = new { http_host = "http://" .. arg.endpoint, serializer = "raw" }
			return { cli:set("k", ("x"):rep(4e6)).status, #cli:get("k").body.kvs[1].value }
		]], { endpoint = node.endpoint }))
	end)

	describe("a phase", function()
		test("in which nothing can wait refuses a call; in the others, and while nginx starts, it is made", function()
			assert.is_truthy(nginx.get("/phases"):find "\nok\n$")
			local phases = run "return cases.phases"
			for _, phase in ipairs { "init", "init_worker", "rewrite", "access", "content" } do
				assert.are.equal(200, phases[phase], phase)
			end
			for _, phase in ipairs { "set", "header_filter", "body_filter", "log" } do
				assert.are.equal(REFUSED:format(phase), phases[phase])
			end
		end)

		test("of a timer makes it", function()
			assert.are.equal(200, run [[
				local done, status = require "ngx.semaphore".new()
				ngx.timer.at(0, function()
					status = new():set("k", 1).status
					done:post()
				end)
				done:wait(20)
				return status
			]])
		end)
	end)

	describe("one client of this project", function()
		test("serves all objects of equal configuration, whatever their prefix, serializer and timeout", function()
			assert.are.same({ true, true, false, false }, run [[
				local function behind(opts)
					local cli = new(opts)
					cli:get "k"
					return cli.client
				end
				local one = behind()
				return {
					one == behind { key_prefix = "p", serializer = "raw", timeout = 1, http_host = { new().endpoints[1].http_host } },
					behind { extra_headers = { a = "1", b = "2" } } == behind { extra_headers = { B = "2", a = "1" } },
					one == behind { extra_headers = { a = "1" } },
					one == behind { user = "u", password = "p" },
				}
			]])
		end)

		test("keeps its connection from request to request", function()
			run [[return new():get("k").status]]
			local before = nginx.descriptors()
			for _ = 1, 20 do
				assert.are.equal(200, run [[
					for _ = 1, 10 do
						new():get "k"
					end
					collectgarbage()
					return new():get("k").status
				]])
			end
			assert.is_true(nginx.descriptors() <= before + 1)
		end)

		test("is closed where it was not among the last sixteen, once nothing uses it", function()
			local before = nginx.descriptors()
			run [[
				for i = 1, 60 do
					assert(new { extra_headers = { ["x-" .. i] = "1" } }:get "k")
				end
			]]
			nginx.await(function()
				run "collectgarbage() collectgarbage()"
				return nginx.descriptors() <= before + 17
			end)
		end)

		test("lives on for other objects when one is closed", function()
			assert.are.same({ "closed", 200, "closed" }, run [[
				local one, other = new(), new()
				one:get "k"
				other:get "k"
				one:close()
				return { (select(2, one:get "k")), other:get("k").status, (select(2, one:watch "k")) }
			]])
		end)

		test("is made anew in each worker", function()
			finally(function()
				worker.start()
			end)
			local old = nginx.workers()
			assert.is_true(run [[
				local read = new():watch "never"
				read()
				ngx.timer.at(0, function() read() end)
				return true
			]])
			nginx.signal "HUP"
			nginx.await(function() return not nginx.workers():find(old, 1, true) and nginx.workers() ~= "" end)
			assert.are.equal(200, run "return cases.started:get('k').status")
		end)

		test("ends with the lua_State of each request where the code is not cached", function()
			finally(function()
				worker.start()
			end)
			worker.start { cache = "off" }
			assert.are.equal(200, run [[return new():set("k", 1).status]])
			local before = nginx.descriptors()
			for _ = 1, 30 do
				assert.are.equal(200, run [[return new():set("k", 1).status]])
			end
			nginx.await(function() return nginx.descriptors() <= before + 1 end)
		end)
	end)

	describe("headers", function()
		test("go along, but for those that the connection needs", function()
			assert.are.same({ 200, true }, run([[
				local cli = new { http_host = "http://127.0.0.1:1", unix_socket_proxy = arg.proxy, extra_headers = {
					["X-Team"] = "blue", Authorization = "mine", Connection = "close", token = "t", ["Content-Length"] = 7,
				} }
				return { cli:set("k", 1).status, cli:watch "k" ~= nil }
			]], { proxy = worker.proxy }))
			-- The line of the watch is written when it ends.
			nginx.await(function() return nginx.read(nginx.dir .. "/headers"):find "^blue %-\n" end)
		end)
	end)

	describe("unix_socket_proxy", function()
		test("is left alone where it is not there", function()
			assert.are.equal(200, run [[return new { unix_socket_proxy = "unix:/nowhere/etcd.sock" }:get("k").status]])
		end)
	end)

	describe("users", function()
		local guarded

		lazy_setup(function()
			guarded = server.start()
			local status, output = server.sh(([[
				export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=%s
				set -e
				etcdctl user add root:hush; etcdctl user grant-role root root
				etcdctl role add reader; etcdctl role grant-permission reader read mine --prefix=true
				etcdctl user add eve:eve; etcdctl user grant-role eve reader
				etcdctl auth enable
			]]):format(guarded.endpoint))
			assert(status == 0, output)
		end)

		lazy_teardown(function() guarded:kill() end)

		local function as(user, password, case)
			return run("local cli = new { http_host = arg.host, user = arg.user, password = arg.password } " .. case,
				{ host = "http://" .. guarded.endpoint, user = user, password = password })
		end

		test("log in", function()
			assert.are.same({ 200, 1 }, as("root", "hush", [[
				local read = cli:watch "k"
				read()
				return { cli:set("k", 1).status, read().result.events[1].kv.value }
			]]))
		end)

		test("with a wrong password fail as lua-resty-etcd does", function()
			local FAILED = { n = 2, nil, "authenticate refresh token fail" }
			assert.are.same(FAILED, table.pack(as("root", "wrong", [[return nil, (select(2, cli:get "k"))]])))
			assert.are.same(FAILED, table.pack(as("nobody", "wrong", [[return cli:watch "k"]])))
		end)

		test("that may not do it get the gateway's response, and a watch that is canceled", function()
			local response, chunk, closed = as("eve", "eve", [[
				local read, _, handle = cli:watchdir("", { need_cancel = true })
				local chunk = read()
				assert(handle:close() == 1)
				return cli:set("mine", 1), chunk, (select(2, read()))
			]])
			local DENIED = "etcdserver: permission denied"
			assert.are.same({ 403, { code = 7, error = DENIED, message = DENIED } }, { response.status, response.body })
			assert.are.same({ result = {
				header = {}, watch_id = "-1", created = true, canceled = true,
				cancel_reason = "rpc error: code = PermissionDenied desc = " .. DENIED,
			} }, chunk)
			assert.are.equal("closed", closed)
		end)

		test("who are not named get the gateway's response", function()
			local NOBODY = "etcdserver: user name is empty"
			local response, chunk = as(nil, nil, [[return cli:get "k", cli:watch "k"()]])
			local expected = worker.chunks({ key = base64.encode "k" }, 1, guarded)[1]
			expected.result.header = {}
			if server.version() == "3.5.1" then
				-- Its gateway has no id, and does not tell nobody from a user without the right.
				expected.result.watch_id = "-1"
				expected.result.cancel_reason = "rpc error: code = InvalidArgument desc = " .. NOBODY
			end
			assert.are.same(expected, chunk)
			assert.are.same({ 400, { code = 3, error = NOBODY, message = NOBODY } }, { response.status, response.body })
		end)

		test("are not needed by a server that knows none", function()
			assert.are.equal(200, run [[return new { user = "root", password = "hush" }:get("k").status]])
		end)
	end)

	describe("TLS", function()
		local dir, secure, strict

		-- A certificate that has signed itself: a server's, a client's, and whom to trust.
		local function certificate(name)
			local status, output = server.sh(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout %s.key "
				.. "-out %s.pem -subj /CN=%s -addext basicConstraints=critical,CA:FALSE "
				.. "-addext subjectAltName=IP:127.0.0.1,DNS:etcd.example"):format(dir, name, name, name))
			assert(status == 0, output)
		end

		local function serve(...)
			local flags = { "--cert-file=" .. dir .. "/server.pem", "--key-file=" .. dir .. "/server.key", ... }
			return server.start { flags = flags }
		end

		lazy_setup(function()
			dir = select(2, server.sh "mktemp -d"):gsub("%s+$", "")
			certificate "server"
			certificate "client"
			secure = serve()
			strict = serve("--client-cert-auth", "--trusted-ca-file=" .. dir .. "/client.pem")
		end)

		lazy_teardown(function()
			secure:kill()
			strict:kill()
			server.sh("rm -r " .. dir)
		end)

		-- The status of a call, or its message.
		local function set(of, opts)
			opts.http_host = "https://" .. of.endpoint
			return run([[
				local res, message = new(arg):set("k", 1)
				return res and res.status or message
			]], opts)
		end

		local function fails(reason, of, opts)
			local message, expected = set(of, opts), "https://" .. of.endpoint .. ": the server's certificate is " .. reason
			assert.are.equal(expected, message:sub(1, #expected))
		end

		test("verifies by default: whom trusted_ca names, else the system's authorities", function()
			assert.are.equal(200, set(secure, { trusted_ca = dir .. "/server.pem" }))
			fails("signed by an unknown authority", secure, {})
			fails("signed by an unknown authority", secure, { ssl_verify = true, trusted_ca = dir .. "/client.pem" })
		end)

		test("trusts anybody with ssl_verify = false", function()
			assert.are.equal(200, set(secure, { ssl_verify = false }))
		end)

		test("checks the name that sni says", function()
			assert.are.equal(200, set(secure, { trusted_ca = dir .. "/server.pem", sni = "etcd.example" }))
			fails("for another name", secure, { trusted_ca = dir .. "/server.pem", sni = "other.example" })
		end)

		test("shows the client's certificate, from files or texts", function()
			local trusted = dir .. "/server.pem"
			assert.are.equal(200, set(strict, {
				trusted_ca = trusted, ssl_cert_path = dir .. "/client.pem", ssl_key_path = dir .. "/client.key",
			}))
			assert.are.equal(200, set(strict, {
				trusted_ca = trusted, ssl_cert = nginx.read(dir .. "/client.pem"), ssl_key = nginx.read(dir .. "/client.key"),
			}))
			local message = set(strict, { trusted_ca = trusted })
			assert.is_truthy(message:find("https://" .. strict.endpoint .. ": ", 1, true) == 1, message)
		end)

		test("tells in the first call which file is not there", function()
			assert.are.equal("newclient: tls: field 'ca' cannot be used: /nowhere/ca.pem: No such file or directory",
				set(secure, { trusted_ca = "/nowhere/ca.pem" }))
		end)
	end)
end)

describe("the sample of silly.resty.etcd #hosts", function()
	lazy_setup(function() worker.node = server.start() end)
	lazy_teardown(function() worker.node:kill() end)

	test("follows its configuration: etcd down at the start, a restart, a compaction", function()
		local own = etcd.newclient { endpoints = { worker.node.endpoint }, retry = 100, retry_sleep = 50 }
		finally(function()
			nginx.stop()
			own:close()
		end)
		local conf = nginx.read("examples/hosts/resty.conf"):gsub("127%.0%.0%.1:8089", "127.0.0.1:" .. nginx.port)

		local function seen(text) nginx.seen("/port", text) end

		worker.node:stop()
		nginx.start(conf, { endpoint = worker.node.endpoint, lua_path = "$PWD/lua/?.lua;" })
		seen "HTTP/1.1 404 "
		local _, refused = server.sh(("curl -sS -T /dev/null http://127.0.0.1:%d/port"):format(nginx.port))
		assert.are.equal("has no healthy etcd endpoint available\n", refused)
		worker.node:start()
		nginx.await(function()
			local _, stored = server.sh(("echo 1st | curl -sS -T - http://127.0.0.1:%d/port"):format(nginx.port))
			return stored == "OK\n"
		end)
		seen "1st"
		worker.node:kill()
		worker.node:start()
		assert(own:put { key = "config/port", value = "2nd" })
		seen "2nd"
		worker.node:cut(function(endpoint)
			local other <close> = etcd.newclient { endpoints = { endpoint } }
			local last = assert(other:put { key = "config/port", value = "3rd" }).header.revision
			assert(other:compact { revision = last, physical = true })
		end)
		seen "3rd"
		assert(own:delete "config/port")
		seen "HTTP/1.1 404 "
	end)
end)

describe("silly.resty.etcd elsewhere #hosts", function()
	local SCRIPT = [[
		local cli = assert(require "silly.resty.etcd".new { http_host = "http://" .. os.getenv "ETCD_ENDPOINTS" })
		local first = assert(cli:set("elsewhere", { a = "ä" })).body.header.revision
		local read = cli:watch("elsewhere", { start_revision = first, prev_kv = true })
		read()
		assert(cli:txn({ { key = "elsewhere", target = "VERSION", result = "GREATER", version = 0 } },
			{ { requestDeleteRange = { key = "ZWxzZXdoZXJl", prev_kv = true } } }))
		local event
		repeat
			event = read().result.events
		until event[#event].type == "DELETE"
		local header = cli:get("elsewhere").body.header
		assert(header.member_id:match "^%d+$" and header.cluster_id:match "^%d+$" and header.revision:match "^%d+$")
		print(event[#event].prev_kv.value.a, event[#event].kv.key, cli:grant(5, "18").body.ID, cli:revoke(18).status)
	]]

	server.each_lua(function(lua, cpath)
		test("works on " .. lua, function()
			local file = os.tmpname()
			local handle = assert(io.open(file, "w"))
			handle:write(SCRIPT)
			handle:close()
			local status, output = server.sh(("LUA_PATH='lua/?.lua;;' LUA_CPATH='%s' %s %s"):format(cpath, lua, file))
			os.remove(file)
			assert.are.same({ 0, "ä\telsewhere\t18\t200\n" }, { status, output })
		end)
	end)

	it("writes and reads base64", function()
		for text, encoded in pairs {
			[""] = "", a = "YQ==", ab = "YWI=", abc = "YWJj", ["\0\255\254"] = "AP/+", ["\251\239\190\0"] = "++++AA==",
		} do
			assert.are.equal(encoded, base64.encode(text))
			assert.are.equal(text, base64.decode(encoded))
		end
		for _, wrong in ipairs { "a", "ab=", "=", "YQ==YQ==", "Y Q=", "YQ======" } do
			assert.is_nil(base64.decode(wrong), wrong)
		end
	end)

	it("tells failures of servers and connections as lua-resty-etcd does", function()
		local failure = require "silly.resty.etcd.failure"
		local self = { endpoints = { { host = "a", port = "1", http_host = "http://a:1" } } }
		for text, info in pairs {
			["invalid response code: 503, etcdserver: no leader"] = { code = "unavailable",
				server_message = "etcdserver: no leader" },
			["invalid response code: 500, oops"] = { code = "unknown", server_message = "oops" },
			["http://a:1: closed"] = { code = "unavailable", applied = "maybe", endpoint = "a:1" },
			["http://a:1: timeout"] = { code = "deadline_exceeded", endpoint = "a:1" },
			["b:2: odd"] = { code = "protocol", endpoint = "b:2", causes = { ["b:2"] = "odd" } },
			[UNREACHABLE] = { code = "unavailable", applied = "no", endpoint = "a:1" },
			closed = { code = "closed" },
			message = { code = "failed_precondition" },
		} do
			assert.are.same({ nil, text, info }, { failure.result(self, "message", info) })
		end
		local response = failure.result(self, "m", { code = "resource_exhausted", server_message = "too many requests" })
		assert.are.same({ 429, 8, "Too Many Requests" }, { response.status, response.body.code, response.reason })
	end)

	it("writes unsigned numbers", function()
		local responses = require "silly.resty.etcd.responses"
		for number, text in pairs {
			[-1] = "18446744073709551615", [math.mininteger] = "9223372036854775808",
			[math.maxinteger] = "9223372036854775807",
			[-2000000000000000000] = "16446744073709551616", [-1000000007] = "18446744072709551609",
		} do
			assert.are.same({ cluster_id = text }, responses.header { cluster_id = number })
		end
	end)
end)
