-- silly.resty.etcd in nginx, as programs call lua-resty-etcd: each method, each of its options, and what it returns.
-- In: the nginx of spec/support/nginx.lua; nodes of this spec's own. Cases are code that runs in a worker. Out: their
-- results. What a response looks like is not written down here but asked of etcd's own HTTP gateway, which
-- lua-resty-etcd talks to.

local base64 = require "silly.resty.etcd.base64"
local etcd = require "silly.store.etcd"
local json = require "silly.encoding.json"
local nginx = require "spec.support.nginx"
local server = require "spec.support.etcd"

local PROXY, CUT = nginx.port + 2000, nginx.port + 4000

local UNREACHABLE = "has no healthy etcd endpoint available"
local REFUSED = "get: failed_precondition: nothing can wait in the phase '%s'; call this in rewrite, access or "
	.. "content, or where the request needs no answer in a timer: ngx.timer.at(0, ...)"

local node, client

local function write(name, text)
	local file = assert(io.open(nginx.dir .. "/" .. name, "w"))
	file:write(text)
	file:close()
end

local function start(changes)
	local values = { port = nginx.port, proxy = PROXY, etcd = node.endpoint, cache = "on" }
	for name, value in pairs(changes or {}) do
		values[name] = value
	end
	local conf = nginx.read("spec/support/resty/nginx.conf"):gsub("<(%w+)>", values)
	local folder = server.sh "pwd" == 0 and select(2, server.sh "pwd"):gsub("%s+$", "")
	nginx.start(conf, { endpoint = node.endpoint, lua_path = folder .. "/lua/?.lua;" })
end

-- Runs a case with `arg` and returns what it returns.
local function run(case, arg)
	write("case.lua", case)
	write("arguments.json", assert(json.encode(arg or {})))
	local response = nginx.get "/run"
	local status, body = response:match "^HTTP/1.1 (%d+) .-\r?\n\r?\n(.*)$"
	if status ~= "200" then
		error(response .. "\n" .. nginx.errors(), 2)
	end
	local results = assert(json.decode(body))
	local count = #results
	for i = 1, count do
		if results[i] == json.null then
			results[i] = nil
		end
	end
	return table.unpack(results, 1, count)
end

-- What the gateway responds.
local function gateway(path, request)
	local file = os.tmpname()
	local handle = assert(io.open(file, "w"))
	handle:write(request and json.encode(request) or "{}")
	handle:close()
	local command = "curl -sS -w '\\n%%{http_code}' --max-time 20 -d @%s http://%s/v3/%s"
	local _, output = server.sh(command:format(file, node.endpoint, path))
	os.remove(file)
	local body, status = output:match "^(.*)\n(%d+)$"
	return tonumber(status), assert(json.decode(body), output)
end

-- A body without what differs from call to call: the numbers of revisions.
local function plain(body)
	if type(body) ~= "table" then
		return body
	end
	local copy = {}
	for name, value in pairs(body) do
		copy[name] = type(name) == "string" and name:find "revision$" and type(value) or plain(value)
	end
	return copy
end

-- The gateway's key-value pairs as lua-resty-etcd decodes them.
local function decoded(body)
	for _, kv in ipairs(body.kvs or {}) do
		kv.key, kv.value = base64.decode(kv.key), base64.decode(kv.value or "")
	end
	return body
end

local b64 = base64.encode

local function put(key, value, fields)
	local request = { key = key, value = value }
	for name, field in pairs(fields or {}) do
		request[name] = field
	end
	return assert(client:put(request)).header.revision
end

local function test(name, body)
	it(name, function()
		if not nginx.present then
			return pending(nginx.missing)
		end
		body()
	end)
end

describe("silly.resty.etcd #hosts", function()
	lazy_setup(function()
		node = server.start()
		client = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
		if nginx.present then
			start()
		end
	end)

	lazy_teardown(function()
		if nginx.present then
			nginx.stop()
		end
		client:close()
		node:kill()
	end)

	before_each(function()
		assert(client:delete { key = "", prefix = true })
	end)

	describe("a response is that of etcd's gateway", function()
		-- The keys s/a, written twice, with a lease, and s/b, s/c.
		local function fill()
			assert(client:delete { key = "", prefix = true })
			client:revoke(77)
			assert(client:grant { ID = 77, TTL = 600, keepalive = false })
			put("s/a", "1")
			put("s/a", "2", { lease = 77 })
			put("s/b", "")
			put("s/c", "3")
		end

		before_each(fill)
		after_each(function() client:revoke(77) end)

		-- Each is asked of the layer and of the gateway, of the same store.
		local READS = {
			{ "get", 'cli:get "s/a"', "kv/range", { key = b64 "s/a" } },
			{ "get of an empty value", 'cli:get "s/b"', "kv/range", { key = b64 "s/b" } },
			{ "get of no key", 'cli:get "s/none"', "kv/range", { key = b64 "s/none" } },
			{ "readdir", 'cli:readdir "s/"', "kv/range", { key = b64 "s/", range_end = b64 "s0" } },
			{ "readdir with a limit", 'cli:readdir("s/", { limit = 1 })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", limit = 1 } },
			{ "readdir in descending order", 'cli:readdir("s/", { sort_order = 2, sort_target = 3 })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", sort_order = 2, sort_target = 3 } },
			{ "readdir, ordered by names", 'cli:readdir("s/", { sort_order = "DESCEND", sort_target = "KEY" })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", sort_order = "DESCEND", sort_target = "KEY" } },
			{ "readdir of the keys", 'cli:readdir("s/", { keys_only = true })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", keys_only = true } },
			{ "readdir that counts", 'cli:readdir("s/", { count_only = true })', "kv/range",
				{ key = b64 "s/", range_end = b64 "s0", count_only = true } },
			{ "timetolive", "cli:timetolive(77)", "kv/lease/timetolive", { ID = 77 } },
			{ "timetolive of no lease", "cli:timetolive(78, true)", "kv/lease/timetolive", { ID = 78 } },
			{ "leases", "cli:leases()", "lease/leases" },
			{ "keepalive", "cli:keepalive(77)", "lease/keepalive", { ID = 77 } },
			{ "keepalive of no lease", 'cli:keepalive("78")', "lease/keepalive", { ID = 78 } },
			{ "a revision of the future", 'cli:get("s/a", { revision = 99999999 })', "kv/range",
				{ key = b64 "s/a", revision = 99999999 } },
			{ "revoke of no lease", "cli:revoke(78)", "kv/lease/revoke", { ID = 78 } },
			{ "set with no lease", 'cli:set("s/a", "", { lease = 78 })', "kv/put", { key = b64 "s/a", lease = 78 } },
			{ "delete of an empty key", 'cli:delete ""', "kv/deleterange", { key = "" } },
			{ "rmdir of an empty key", 'cli:rmdir ""', "kv/deleterange", { key = "", range_end = "AA==" } },
			{ "a TTL that is too large", "cli:grant(1e13)", "lease/grant", { TTL = 10000000000000 } },
			{ "set with ignore_value of no key", 'cli:set("s/none", "", { ignore_value = true })', "kv/put",
				{ key = b64 "s/none", ignore_value = true } },
		}

		-- Like these, but each is called on a store that was just filled.
		local WRITES = {
			{ "set", 'cli:set("s/a", "x")', "kv/put", { key = b64 "s/a", value = b64 "x" } },
			{ "set with prev_kv", 'cli:set("s/a", "x", { prev_kv = true })', "kv/put",
				{ key = b64 "s/a", value = b64 "x", prev_kv = true } },
			{ "set that keeps the lease", 'cli:set("s/a", "x", { prev_kv = true, ignore_lease = true })', "kv/put",
				{ key = b64 "s/a", value = b64 "x", prev_kv = true, ignore_lease = true } },
			{ "delete", 'cli:delete "s/a"', "kv/deleterange", { key = b64 "s/a" } },
			{ "delete of no key", 'cli:delete "s/none"', "kv/deleterange", { key = b64 "s/none" } },
			{ "delete with prev_kv", 'cli:delete("s/a", { prev_kv = true })', "kv/deleterange",
				{ key = b64 "s/a", prev_kv = true } },
			{ "rmdir", 'cli:rmdir("s/", { prev_kv = true })', "kv/deleterange",
				{ key = b64 "s/", range_end = b64 "s0", prev_kv = true } },
			{ "setnx of a new key", 'cli:setnx("s/new", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/new", createRevision = 0 } },
				success = { { requestPut = { key = b64 "s/new", value = b64 "x" } } },
			} },
			{ "setnx of a key that is there", 'cli:setnx("s/a", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/a", createRevision = 0 } },
				success = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
			} },
			{ "setx of a key that is there", 'cli:setx("s/a", "x")', "kv/txn", {
				compare = { { target = "CREATE", key = b64 "s/a", createRevision = 0 } },
				failure = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
			} },
			{ "grant", "cli:grant(5, 78)", "lease/grant", { TTL = 5, ID = 78 } },
			{ "grant of an id that is taken", "cli:grant(5, 77)", "lease/grant", { TTL = 5, ID = 77 } },
			{ "revoke", 'cli:revoke "77"', "kv/lease/revoke", { ID = 77 } },
			{ "txn", [[cli:txn(
				{
					{ key = "s/a", target = "VALUE", result = "EQUAL", value = "2" },
					{ key = "s/a", target = "VERSION", result = "GREATER", version = 1 },
					{ key = "s/none", target = 1, createRevision = 0 },
					{ key = "s/a", target = "LEASE", lease = 77 },
					{ key = "s/c", target = "MOD", result = "LESS", mod_revision = 1000000 },
				},
				{
					{ requestPut = { key = "s/a", value = "x", prev_kv = true, lease = 77 } },
					{ requestRange = { key = "cy8=", range_end = "czA=", sort_order = 2, limit = "1" } },
					{ request_delete_range = { key = "cy9i", prev_kv = true } },
					{ requestTxn = {
						compare = { { key = "cy9j", target = "VALUE", value = "Mw==" } },
						success = { { requestPut = { key = "cy9j", value = "eA==" } } },
					} },
				},
				{ { requestRange = { key = "cy9h" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VALUE", result = "EQUAL", value = b64 "2" } },
				success = {
					{ requestPut = { key = b64 "s/a", value = b64 "x", prev_kv = true, lease = 77 } },
					{ requestRange = { key = "cy8=", range_end = "czA=", sort_order = 2, limit = "1" } },
					{ requestDeleteRange = { key = "cy9i", prev_kv = true } },
					{ requestTxn = {
						compare = { { key = "cy9j", target = "VALUE", value = "Mw==" } },
						success = { { requestPut = { key = "cy9j", value = "eA==" } } },
					} },
				},
			} },
			{ "txn that fails", [[cli:txn(
				{ { key = "s/a", target = "VALUE", result = "NOT_EQUAL", value = "2" } },
				{ { requestPut = { key = "s/a", value = "x" } } },
				{ { requestRange = { key = "cy9h" } }, { requestDeleteRange = { key = "cy9u" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VALUE", result = "NOT_EQUAL", value = b64 "2" } },
				success = { { requestPut = { key = b64 "s/a", value = b64 "x" } } },
				failure = { { requestRange = { key = "cy9h" } }, { requestDeleteRange = { key = "cy9u" } } },
			} },
			{ "txn that writes a key twice", [[cli:txn(
				{ { key = "s/a", target = "VERSION", result = "GREATER", version = 0 } },
				{ { requestPut = { key = "s/a", value = "x" } }, { requestPut = { key = "s/a", value = "y" } } }
			)]], "kv/txn", {
				compare = { { key = b64 "s/a", target = "VERSION", result = "GREATER", version = 0 } },
				success = {
					{ requestPut = { key = b64 "s/a", value = b64 "x" } },
					{ requestPut = { key = b64 "s/a", value = b64 "y" } },
				},
			} },
		}

		-- Compares a response with the gateway's status and body.
		local function same(response, status, body)
			if status == 412 then
				status = 400 -- what newer servers say of a failed precondition
			end
			assert.are.equal(status, response.status)
			if status ~= 200 then
				body.error = body.message -- newer servers have one of them only
				body.details = nil
			end
			assert.are.same(plain(decoded(body)), plain(response.body))
		end

		local function layer(case)
			return assert(run('local cli = new { serializer = "raw" } return ' .. case))
		end

		for _, case in ipairs(READS) do
			test(case[1], function()
				local response = layer(case[2])
				same(response, gateway(case[3], case[4]))
			end)
		end

		for _, case in ipairs(WRITES) do
			test(case[1], function()
				finally(function() client:revoke(78) end)
				local response = layer(case[2])
				local stored = client:get({ key = "", prefix = true })
				fill()
				client:revoke(78)
				same(response, gateway(case[3], case[4]))
				-- They have also done the same.
				assert.are.same(plain(stored.kvs), plain(client:get({ key = "", prefix = true }).kvs))
			end)
		end

		test("timetolive with keys, which are decoded", function()
			local response = layer "cli:timetolive(77, true)"
			local _, body = gateway("kv/lease/timetolive", { ID = 77, keys = true })
			assert.are.same({ b64 "s/a" }, body.keys)
			assert.are.same({ "s/a" }, response.body.keys)
		end)

		test("version, without that of the cluster", function()
			local response = layer "cli:version()"
			local _, output = server.sh(("curl -sS http://%s/version"):format(node.endpoint))
			local body = assert(json.decode(output))
			body.etcdcluster = nil
			assert.are.same(body, response.body)
		end)

		-- The first chunks of a watch of the gateway, which ends with the command.
		local function chunks(request, count)
			local command = "curl -sSN --max-time 2 -d '%s' http://%s/v3/watch"
			local list = {}
			for line in select(2, server.sh(command:format(json.encode { create_request = request }, node.endpoint)))
				:gmatch "[^\n]+" do
				list[#list + 1] = json.decode(line)
			end
			return { table.unpack(list, 1, count) }
		end

		test("watchdir", function()
			local first = put("s/a", "x")
			put("s/b", "")
			assert(client:delete "s/a")
			local expected = chunks({ key = "cy8=", range_end = "czA=", start_revision = first, prev_kv = true,
				watch_id = 7 }, 2)
			local read = run([[
				local read = assert(new { serializer = "raw" }:watchdir("s/", {
					start_revision = arg.first, prev_kv = true, watch_id = 7,
				}))
				return { (assert(read())), (assert(read())) }
			]], { first = first })
			for _, event in ipairs(expected[2].result.events) do
				for _, kv in ipairs { event.kv, event.prev_kv } do
					kv.key, kv.value = base64.decode(kv.key), kv.value and base64.decode(kv.value)
				end
				event.prev_kv.value = event.prev_kv.value or "" -- decoded even where there is none
			end
			-- Of the header the first has the revision alone.
			expected[1].result.header = { revision = read[1].result.header.revision }
			assert.are.equal("string", type(read[1].result.header.revision))
			assert.are.same(plain(expected), plain(read))
		end)

		test("a watch whose revision was compacted", function()
			local first = put("s/a", "x")
			local last = put("s/a", "y")
			assert(client:compact { revision = last })
			local expected = chunks({ key = b64 "s/a", start_revision = first }, 2)
			local read, none, ending = run([[
				local read = assert(new():watch("s/a", { start_revision = arg.first }))
				read()
				local last = read()
				return last, read()
			]], { first = first })
			expected[2].result.header = {}
			assert.are.equal(tostring(last), expected[2].result.compact_revision)
			expected[2].result.cancel_reason = nil -- newer servers have one
			read.result.header = {}
			assert.are.same(expected[2], read)
			assert.is_nil(none)
			assert.are.equal("closed", ending)
		end)
	end)

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

	describe("a key", function()
		test("has the prefix in the store and in responses", function()
			local got, listed, event = run [[
				local cli = new { key_prefix = "p/" }
				local read = cli:watchdir ""
				cli:set("a", 1)
				cli:setnx("b", 2)
				cli:setx("b", 3)
				cli:txn({ { key = "a", target = "VALUE", value = 1 } }, { { requestPut = { key = "c", value = 4 } } })
				cli:delete "a"
				read()
				return cli:get("b").body.kvs[1].key, cli:readdir("c").body.kvs, read().result.events[1].kv.key
			]]
			assert.are.equal("p/b", got)
			assert.are.same({ "p/c", 4 }, { listed[1].key, listed[1].value })
			assert.are.equal("p/a", event)
			local stored = {}
			for _, kv in ipairs(client:get({ key = "", prefix = true }).kvs) do
				stored[#stored + 1] = kv.key .. "=" .. kv.value
			end
			assert.are.same({ "p/b=3", "p/c=4" }, stored)
		end)

		for _, case in ipairs { 'get ""', 'readdir ""', 'set("", 1)' } do
			test("is not empty in " .. case, function()
				assert.are.same({ n = 2, nil, "key should not be empty" }, table.pack(run("return new():" .. case)))
			end)
		end

		for _, case in ipairs { "get(1)", "set({}, 1)", "delete()" } do
			test("is a string in " .. case, function()
				assert.are.same({ n = 2, nil, "key must be string" }, table.pack(run("return new():" .. case)))
			end)
		end

		test("ends with any byte", function()
			put("x\255", "1")
			put("x\255\255", "2")
			put("y", "3")
			assert.are.equal(2, run [[return #new():readdir("x\255").body.kvs]])
			assert.are.equal("2", run [[return new():rmdir("x\255").body.deleted]])
			assert.are.equal("y", client:get({ key = "", prefix = true }).kvs[1].key)
		end)
	end)

	describe("a read", function()
		test("is of the revision that is asked for, and of the newest where that is none", function()
			local first = put("k", "1")
			put("k", "2")
			assert.are.same({ 1, 2, 2, 1 }, run([[
				local function value(res) return res.body.kvs[1].value end
				local cli = new()
				return {
					value(cli:get("k", { revision = arg.first })), value(cli:get("k", { revision = 0 })),
					value(cli:get("k", { revision = -1 })), value(cli:readdir("", { revision = arg.first }) or
						cli:readdir("k", { revision = tostring(arg.first) })),
				}
			]], { first = first }))
		end)
	end)

	describe("a value", function()
		test("is JSON by default, decoded in reads and watches", function()
			local values = run [[
				local read = new():watch "v"
				read()
				local seen = {}
				for i, value in ipairs { "text", 1.5, true, { a = { 1, 2 } }, "" } do
					new():set("v", value)
					seen[i] = { new():get("v").body.kvs[1].value, read().result.events[1].kv.value }
				end
				return seen
			]]
			for i, value in ipairs { "text", 1.5, true, { a = { 1, 2 } }, "" } do
				assert.are.same({ value, value }, values[i])
			end
			assert.are.equal('""', client:get("v").kvs[1].value)
		end)

		test("that is no JSON is nil in reads", function()
			put("v", "init_dir")
			assert.are.same({ n = 2, 1, nil }, table.pack(run [[
				local kvs = new():get("v").body.kvs
				return #kvs, kvs[1].value
			]]))
		end)

		test("that JSON does not know fails with its message", function()
			local said = run [[
				local value, cli = { print }, new()
				return {
					(select(2, cli:set("v", value))),
					(select(2, cli:setnx("v", value))),
					(select(2, cli:txn({ { key = "v", version = 0 } }, { { requestPut = { key = "v", value = value } } }))),
				}
			]]
			assert.are.equal(0, client:get("v").count)
			assert.are.same({ "failed to encode val: " .. said[1], "failed to encode value: " .. said[1] },
				{ said[2], said[3] })
		end)

		test("is the bytes with the serializer raw, and nothing but a string", function()
			local value, message, set = run [[
				local cli = new { serializer = "raw" }
				cli:set("v", "\0{")
				local nothing, message = cli:set("v", 1)
				assert(nothing == nil)
				return cli:get("v").body.kvs[1].value, message, select(2, cli:setnx("v", {}))
			]]
			assert.are.equal("\0{", value)
			assert.are.equal("unsupported type for number", message)
			assert.are.equal("failed to encode val: unsupported type for table", set)
		end)

		test("is what a serializer of the program makes of it; of one that is not there, JSON", function()
			assert.are.same({ "<x>", 7 }, run [[
				package.loaded["resty.etcd.serializers.angle"] = {
					serialize = function(value) return "<" .. value end,
					deserialize = function(text) return text .. ">" end,
				}
				local cli = new { serializer = "angle" }
				cli:set("v", "x")
				local got = cli:get("v").body.kvs[1].value
				local other = new { serializer = "none" }
				other:set("v", 7)
				return { got, other:get("v").body.kvs[1].value }
			]])
		end)

		test("is encoded by cjson where that is there", function()
			assert.are.equal("cjson", run [[
				package.loaded["cjson.safe"] = { encode = function() return "cjson" end, decode = function(text) return text end }
				local cli = new()
				package.loaded["cjson.safe"] = nil
				cli:set("v", 1)
				return cli:get("v").body.kvs[1].value
			]])
		end)
	end)

	describe("a transaction", function()
		test("compares something and does something", function()
			assert.are.same({ "compare couldn't be empty", "success and failure couldn't be empty at the same time" }, run [[
				local cli = new()
				return { select(2, cli:txn({}, { {} })), (select(2, cli:txn({ { key = "a" } }, {}))) }
			]])
		end)

		test("leaves what it is given as it is", function()
			assert.are.same({ key = "a", value = 1, target = "VALUE" }, run [[
				local rule = { key = "a", value = 1, target = "VALUE" }
				new { key_prefix = "p" }:txn({ rule }, { { requestPut = { key = "a", value = 1 } } })
				return rule
			]])
		end)
	end)

	describe("a lease", function()
		test("is not renewed by itself", function()
			local id = run [[return new():grant(600).body.ID]]
			assert.are.equal("string", type(id))
			local status = assert(client:ttl { ID = id })
			assert.are.equal(600, status.grantedTTL)
			client:revoke(id)
		end)

		for case, message in pairs {
			["grant()"] = "lease grant command needs TTL argument", ['grant "5"'] = "ttl must be integer",
			["grant(1.5)"] = "ttl must be integer", ["revoke()"] = "lease revoke command needs ID argument",
			["keepalive()"] = "lease keepalive command needs ID argument",
			["timetolive()"] = "lease timetolive command needs ID argument",
		} do
			test("needs what it says: " .. case, function()
				assert.are.same({ n = 2, nil, message }, table.pack(run("return new():" .. case)))
			end)
		end
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
			assert.is_truthy(nginx.errors():find("update endpoint: http://127.0.0.1:1 to unhealthy: connection refused", 1, true))
		end)

		test("of one endpoint is not that of the call", function()
			assert.are.same({ 200, true, false, true }, run([[
				local health = require "resty.etcd.health_check"
				health.init()
				local hosts, status = { "http://127.0.0.1:1", "http://" .. arg.endpoint }
				-- The first to be asked is a random one: until it was that which is dead.
				for i = 1, 100 do
					status = new { http_host = hosts, extra_headers = { ["x-" .. i] = "" } }:set("k", 1).status
					if not health.get_target_status(hosts[1]) then
						break
					end
				end
				return { status, new { http_host = hosts }:watch "k" ~= nil,
					health.get_target_status(hosts[1]), health.get_target_status(hosts[2]) }
			]], { endpoint = node.endpoint }))
		end)

		test("by time names the endpoint, and comes after the timeout of the call or of the object", function()
			finally(function() node:resume() end)
			node:pause()
			assert.are.same({ { "http://" .. node.endpoint .. ": timeout", true }, "http://" .. node.endpoint .. ": timeout" },
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
				nginx.stop()
				start()
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
				nginx.stop()
				start()
			end)
			nginx.stop()
			start { cache = "off" }
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
				local cli = new { http_host = "http://127.0.0.1:" .. arg.port, extra_headers = {
					["X-Team"] = "blue", Authorization = "mine", Connection = "close", token = "t", ["Content-Length"] = 7,
				} }
				return { cli:set("k", 1).status, cli:watch "k" ~= nil }
			]], { port = PROXY }))
			-- The line of the watch is written when it ends.
			nginx.await(function() return nginx.read(nginx.dir .. "/headers"):find "^blue %-\n" end)
		end)
	end)
end)
