-- What somebody reads who is wrong: each wrong use with the exact message that it brings.
-- In: calls with what people write who come from other clients, who slip, or who guess. No server is asked, but for
-- the objects that only a server's answer makes. Out: the message, which names the call, the field and what to do.

local etcd = require "silly.store.etcd"
local schema = require "spec.support.schema"
local server = require "spec.support.etcd"

local ENDPOINTS = { "127.0.0.1:2379" }
local nowhere = etcd.newclient { endpoints = { "unix:///nowhere/etcd.sock" }, retry = 0 }

local client, stream, renewals

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
	stream = assert(client:watch { key = server.prefix() })
	renewals = assert(client:keepalive(assert(client:grant { TTL = 60 }).ID))
end)

teardown(function()
	client:close()
end)

-- The message without the place that `error` puts before it.
local function raised(f, ...)
	local ok, message = pcall(f, ...)
	assert.is_false(ok)
	return (message:gsub("^[^ ]*%.lua:%d+: ", ""))
end

-- What newclient says to a configuration.
local function newclient(conf)
	return raised(etcd.newclient, conf)
end

-- What a call says to its arguments; the request is left as it is and does not leave.
local function call(name, ...)
	local answer, message, info = schema.run(nowhere, name, ...)
	assert.is_nil(answer)
	assert.are.equal("invalid_argument no", info.code .. " " .. info.applied)
	return message
end

local function with(fields)
	fields.endpoints = ENDPOINTS
	return fields
end

describe("newclient", function()
	for _, case in ipairs {
		{ nil, "newclient: the configuration must be a table, got nil" },
		{ "127.0.0.1:2379", "newclient: the configuration must be a table, got a string" },
		{ {}, "newclient: missing field 'endpoints'" },
		{ { "127.0.0.1:2379" }, "newclient: unknown field [1] (did you mean 'endpoints'?)" },
		{ { user = "root", pasword = "secret" }, "newclient: unknown field 'pasword' (did you mean 'password'?)" },
		{ { colour = "red" }, "newclient: unknown field 'colour', and 'endpoints' is missing" },
		{ with { colour = "red" }, "newclient: unknown field 'colour'" },

		{ { endpoint = ENDPOINTS }, "newclient: unknown field 'endpoint' (did you mean 'endpoints'?)" },
		{ { endpoint = "127.0.0.1:2379" }, "newclient: unknown field 'endpoint' (did you mean 'endpoints'?)" },
		{ { host = "127.0.0.1", port = 2379 },
			[[newclient: unknown field 'host' (did you mean 'endpoints', a list such as { "127.0.0.1:2379" }?)]] },
		{ { http_host = "http://127.0.0.1:2379" },
			[[newclient: unknown field 'http_host' (did you mean 'endpoints', a list such as { "127.0.0.1:2379" }?)]] },
		{ { hosts = ENDPOINTS, timeout = 1 },
			[[newclient: unknown field 'hosts' (did you mean 'endpoints', a list such as { "127.0.0.1:2379" }?)]] },
		{ { username = "root", password = "secret" }, "newclient: unknown field 'username' (did you mean 'user'?)" },
		{ { username = "root" }, "newclient: unknown field 'username' (did you mean 'user'?)" },
		{ with { user = "root", passwd = "secret" }, "newclient: unknown field 'passwd' (did you mean 'password'?)" },
		{ with { dialtimeout = 5000 }, "newclient: unknown field 'dialtimeout' (did you mean 'timeout', in seconds?)" },
		{ with { dial_timeout = 5 }, "newclient: unknown field 'dial_timeout' (did you mean 'timeout', in seconds?)" },
		{ with { retries = 3 }, "newclient: unknown field 'retries' (did you mean 'retry'?)" },
		{ with { retry_delay = 1 },
			"newclient: unknown field 'retry_delay' (did you mean 'retry_sleep', in milliseconds?)" },
		{ with { ssl = {} }, "newclient: unknown field 'ssl' (did you mean 'tls'?)" },
		{ with { ssl_verify = false }, "newclient: unknown field 'ssl_verify' (it belongs in 'tls', a table with "
			.. "ca, cert, key, servername, insecure_skip_verify)" },
		{ with { ca = "ca.pem" }, "newclient: unknown field 'ca' (it belongs in 'tls', a table with "
			.. "ca, cert, key, servername, insecure_skip_verify)" },

		{ { endpoints = "127.0.0.1:2379" }, "newclient: field 'endpoints' must be a list, got a string" },
		{ { endpoints = {} }, "newclient: field 'endpoints' must list at least one server" },
		{ { endpoints = { host = "127.0.0.1" } },
			"newclient: field 'endpoints' must be a list, with the keys 1 to n only, but has 'host'" },
		{ { endpoints = { "h:1", nil, "h:2" } },
			"newclient: field 'endpoints' must be a list, with the keys 1 to n only, but lacks [2]" },
		{ { endpoints = { { host = "127.0.0.1" } } }, "newclient: field 'endpoints[1]' must be a string, got a table" },
		{ { endpoints = { "localhost" } },
			"newclient: field 'endpoints[1]' is not an address: the port is missing, got 'localhost'" },
		{ { endpoints = { "h:1", "http://h:1/v3" } },
			"newclient: field 'endpoints[2]' is not an address: a path has no place in it, got 'http://h:1/v3'" },
		{ { endpoints = { "root:secret@h:1" } }, "newclient: field 'endpoints[1]' is not an address: "
			.. "user and password belong in the fields of these names" },
		{ { endpoints = { "https://h:1", "h:2" } },
			"newclient: field 'endpoints' mixes https with others: all or none are encrypted" },
		{ { endpoints = { "http://h:1" }, tls = {} },
			"newclient: field 'tls' contradicts an endpoint that says http:// or unix://" },

		{ with { tls = true }, "newclient: field 'tls' must be a table, got a boolean" },
		{ with { tls = { cafile = "ca.pem" } }, "newclient: tls: unknown field 'cafile' (did you mean 'ca'?)" },
		{ with { tls = { sni = "etcd" } }, "newclient: tls: unknown field 'sni' (did you mean 'servername'?)" },
		{ with { tls = { insecure = true } },
			"newclient: tls: unknown field 'insecure' (did you mean 'insecure_skip_verify'?)" },
		{ with { tls = { certificate = "c.pem", key = "k.pem" } },
			"newclient: tls: unknown field 'certificate' (did you mean 'cert'?)" },
		{ with { tls = { timeout = 1 } },
			"newclient: tls: unknown field 'timeout' (it belongs in the configuration itself)" },
		{ with { tls = { cert = "c.pem" } }, "newclient: tls: missing field 'key'" },
		{ with { tls = { ca = "" } }, "newclient: tls: field 'ca' is neither a path nor PEM text" },
		{ with { tls = { ca = "/nowhere/ca.pem" } },
			"newclient: tls: field 'ca' cannot be used: /nowhere/ca.pem: No such file or directory" },
		{ with { user = "root" }, "newclient: missing field 'password'" },
		{ with { password = "secret" }, "newclient: missing field 'user'" },
		{ with { user = "root", password = "secret", token = "t" },
			"newclient: field 'token' excludes 'user' and 'password'" },
		{ with { user = "r\xffot", password = "secret" }, "newclient: field 'user' must be UTF-8" },

		{ with { timeout = "5" }, "newclient: field 'timeout' must be a number of seconds, got a string" },
		{ with { timeout = 0 }, "newclient: field 'timeout' must be more than 0 seconds" },
		{ with { timeout = -1 }, "newclient: field 'timeout' is no number of seconds: -1" },
		{ with { timeout = 0 / 0 }, "newclient: field 'timeout' is no number of seconds: NaN" },
		{ with { retry_sleep = 0.5 }, "newclient: field 'retry_sleep' must be an integer, got 0.5 (in milliseconds)" },
		{ with { retry_sleep = -1 }, "newclient: field 'retry_sleep' must not be negative, got -1 (in milliseconds)" },
		{ with { retry = math.huge }, "newclient: field 'retry' must be an integer, got inf" },
		{ with { retry_unknown = "no" }, "newclient: field 'retry_unknown' must be a boolean, got a string" },

		{ with { loop = "nginx" }, "newclient: field 'loop' 'nginx' is unknown (did you mean 'openresty'?); there are: "
			.. "copas, cqueues, eco, luv, neovim, openresty, silly, skynet, standalone, tarantool" },
		{ with { loop = "tractor" }, "newclient: field 'loop' 'tractor' is unknown; there are: copas, cqueues, eco, luv, "
			.. "neovim, openresty, silly, skynet, standalone, tarantool" },
		{ with { loop = 1 }, "newclient: field 'loop' must be a name or a table, got a number" },
		{ with { loop = {} }, "newclient: field 'loop' lacks the function 'current'" },
		{ with { loop = { current = print, park = print, wake = print, start = print, block = 1 } },
			"newclient: field 'loop' has a 'block' that is no function" },
	} do
		it("says " .. case[2], function()
			assert.are.equal(case[2], newclient(case[1]))
		end)
	end
end)

describe("a call", function()
	for _, case in ipairs {
		{ "put", {}, "put: the request must be a table, got nil" },
		{ "put", { "k" }, "put: the request must be a table, got a string" },
		{ "put", { {} }, "put: missing field 'key'" },
		{ "put", { { key = "k" } }, "put: missing field 'value'" },
		{ "put", { { "k", "v" } }, "put: unknown field [1] (did you mean 'key'?)" },
		{ "put", { { kye = "k", value = "v" } }, "put: unknown field 'kye' (did you mean 'key'?)" },
		{ "put", { { name = "k", value = "v" } }, "put: unknown field 'name', and 'key' is missing" },
		{ "put", { { key = "k", val = "v" } }, "put: unknown field 'val' (did you mean 'value'?)" },
		{ "put", { { key = "k", value = 5 } }, "put: field 'value' must be a string, got a number" },
		{ "put", { { key = "k", value = "v", ttl = 5 } },
			"put: unknown field 'ttl' (a key lives as long as its 'lease', which `client:grant` makes)" },
		{ "put", { { key = "k", value = "v", lease_id = 5 } }, "put: unknown field 'lease_id' (did you mean 'lease'?)" },
		{ "put", { { key = "k", value = "v", lease = { ID = 5 } } }, "put: field 'lease' must be an integer, got a table "
			.. "(did you mean its field 'ID'?)" },
		{ "put", { "k", "v" }, "put: takes one argument, got a string as well: all fields belong in one table" },
		{ "put", { { key = "k", value = "v", lease = "694d81417acd4754" } },
			"put: field 'lease' must be an integer, got '694d81417acd4754' (hexadecimal starts with 0x)" },
		{ "put", { { key = "k", value = "v", lease = "18446744073709551616" } },
			"put: field 'lease' is beyond 64 bits: 18446744073709551616" },
		{ "put", { { key = "k", value = "v" }, { timeout = 1 } },
			"put: takes one argument, got a table as well: all fields belong in one table" },
		{ "put", { { key = "k", value = "v", timeout = "1" } },
			"put: field 'timeout' must be a number of seconds, got a string" },

		{ "get", {}, "get: the request must be a table or its 'key', got nil" },
		{ "get", { 5 }, "get: field 'key' must be a string, got a number" },
		{ "get", { { "k" } }, "get: unknown field [1] (did you mean 'key'?)" },
		{ "get", { "k", { prefix = true } },
			"get: takes one argument, got a table as well: all fields belong in one table" },
		{ "get", { { prefix = "k" } }, "get: field 'prefix' must be a boolean, got a string" },
		{ "get", { { key = "k", recursive = true } }, "get: unknown field 'recursive' (did you mean 'prefix'?)" },
		{ "get", { { key = "k", from_key = true } }, "get: unknown field 'from_key' (did you mean 'fromkey'?)" },
		{ "get", { { key = "k", prefix = true, range_end = "l" } },
			"get: field 'range_end' excludes 'prefix' and 'fromkey'" },
		{ "get", { { key = "k", linearizable = true } },
			"get: unknown field 'linearizable' (reads are, unless 'serializable' is true)" },
		{ "get", { { key = "k", rev = 5 } }, "get: unknown field 'rev' (did you mean 'revision'?)" },
		{ "get", { { key = "k", order = "ASCEND" } }, "get: unknown field 'order' (did you mean 'sort_order'?)" },
		{ "get", { { key = "k", sort_order = "asc" } },
			"get: field 'sort_order' must be one of NONE, ASCEND, DESCEND, got 'asc'" },
		{ "get", { { key = "k", limit = 1.5 } }, "get: field 'limit' must be an integer, got 1.5" },
		{ "get", { { key = "k", limit = -1 } }, "get: field 'limit' must not be negative, got -1" },
		{ "get", { { key = "k", deadline = 2e9 } },
			"get: field 'deadline' is a number of seconds from now, not a point in time" },
		{ "get", { { key = "k", endpoint = "db:2379" } },
			"get: field 'endpoint' must be one of the client's: unix:///nowhere/etcd.sock" },
		{ "watch", { { key = "k", endpoint = "127.0.0.1:1" } },
			"watch: field 'endpoint' cannot be chosen here: all watches of a client share a stream" },
		{ "get", { { key = "k", headers = { token = "x" } } },
			"get: field 'headers' has 'token', which is the client's own business" },
		{ "get", { { key = "k", headers = { ["a b"] = "x" } } }, "get: field 'headers' has 'a b', which is no header" },
		{ "get", { { key = "k", headers = { a = "\n" } } },
			"get: field 'headers' has 'a', whose value is not printable ASCII" },
		{ "swap", { { key = "k", mod_revision = 1 } }, "swap: missing field 'value'" },
		{ "swap", { { key = "k", mod_revision = 1, value = "v", delete = true } },
			"swap: field 'delete' excludes 'value'" },
		{ "swap", { { key = "k", mod_revision = 1, lease = 5, delete = true } },
			"swap: field 'lease' is for a key that is put" },
		{ "swap", { { key = "k", mod_revision = 1, value = "v", lease = 5, ignore_lease = true } },
			"swap: field 'ignore_lease' excludes 'lease'" },

		{ "delete", {}, "delete: the request must be a table or its 'key', got nil" },
		{ "delete", { "k", { prefix = true } },
			"delete: takes one argument, got a table as well: all fields belong in one table" },
		{ "delete", { { key = "k", prefx = true } }, "delete: unknown field 'prefx' (did you mean 'prefix'?)" },

		{ "compact", {}, "compact: the request must be a table or its 'revision', got nil" },
		{ "compact", { "all" }, "compact: field 'revision' must be an integer, got 'all'" },
		{ "compact", { { rev = 5 } }, "compact: unknown field 'rev' (did you mean 'revision'?)" },

		{ "grant", {}, "grant: the request must be a table or its 'TTL', got nil" },
		{ "grant", { 60, 5 }, "grant: takes one argument, got a number as well: all fields belong in one table" },
		{ "grant", { 1.5 }, "grant: field 'TTL' must be an integer, got 1.5 (in seconds)" },
		{ "grant", { { ttl = 5 } }, "grant: unknown field 'ttl' (did you mean 'TTL'?)" },
		{ "grant", { { ttl = 5, id = 1 } }, "grant: unknown field 'id' (did you mean 'ID'?)" },
		{ "grant", { { seconds = 5 } }, "grant: unknown field 'seconds' (did you mean 'TTL', in seconds?)" },
		{ "revoke", {}, "revoke: the request must be a table or its 'ID', got nil" },
		{ "revoke", { { id = 5 } }, "revoke: unknown field 'id' (did you mean 'ID'?)" },
		{ "revoke", { { lease = 5 } }, "revoke: unknown field 'lease' (did you mean 'ID'?)" },
		{ "revoke", { { lease_id = 5 } }, "revoke: unknown field 'lease_id' (did you mean 'ID'?)" },
		{ "revoke", { { header = {}, ID = 5, TTL = 60 } },
			"revoke: unknown field 'header' (an answer is no request: give its 'ID' alone)" },
		{ "ttl", {}, "ttl: the request must be a table or its 'ID', got nil" },
		{ "ttl", { 5, true }, "ttl: takes one argument, got a boolean as well: all fields belong in one table" },
		{ "leases", { "x" }, "leases: the request must be a table, got a string" },
		{ "leases", { { ID = 5 } }, "leases: unknown field 'ID'" },
		{ "keepalive", {}, "keepalive: the request must be a table or its 'ID', got nil" },
		{ "keepalive", { true }, "keepalive: field 'ID' must be an integer, got a boolean" },
		{ "keepalive", { { ID = 5, renew = true } }, "keepalive: unknown field 'renew' (did you mean 'keepalive'?)" },

		{ "watch", {}, "watch: the request must be a table or its 'key', got nil" },
		{ "watch", { "k", { prefix = true } },
			"watch: takes one argument, got a table as well: all fields belong in one table" },
		{ "watch", { { key = "k", wait = true } },
			"watch: unknown field 'wait' (`read` of the watch waits, for as many seconds as it is given)" },
		{ "watch", { { key = "k", limit = 5 } },
			"watch: unknown field 'limit' (a watch has no limit: close it when it has brought enough)" },
		{ "watch", { { key = "k", watch_id = 5 } }, "watch: unknown field 'watch_id' (the client sees to that itself)" },
		{ "watch", { { key = "k", filter = { "NOPUT" } } }, "watch: unknown field 'filter' (did you mean 'filters'?)" },
		{ "watch", { { key = "k", filters = { NOPUT = true } } },
			"watch: field 'filters' must be a list, with the keys 1 to n only, but has 'NOPUT'" },
		{ "watch", { { key = "k", filters = { "PUT" } } },
			"watch: field 'filters' must be one of NOPUT, NODELETE, got 'PUT'" },
		{ "watch", { { key = "k", start_rev = 5 } }, "watch: unknown field 'start_rev' (did you mean 'revision'?)" },
		{ "watch", { { key = "k", revision = 1, start_revision = 2 } },
			"watch: field 'start_revision' contradicts 'revision'" },

		{ "auth.useradd", {}, "auth.useradd: the request must be a table, got nil" },
		{ "auth.useradd", { { name = "a" } }, "auth.useradd: missing field 'password'" },
		{ "auth.useradd", { { name = "a", password = "" } }, "auth.useradd: field 'password' must not be empty" },
		{ "auth.useradd", { { name = "a", password = "x", nopassword = true } },
			"auth.useradd: field 'nopassword' excludes 'password'" },
		{ "auth.userrevoke", { { name = "a", user = "a", role = "r" } },
			"auth.userrevoke: field 'name' is the same as 'user'" },
		{ "auth.usergrant", { { user = "a" } }, "auth.usergrant: missing field 'role'" },
		{ "auth.rolegrant", { { role = "r", permission = "read", key = "k" } },
			"auth.rolegrant: field 'permission' must be one of READ, WRITE, READWRITE, got 'read'" },
		{ "cluster.add", { { peerURLs = { "10.0.0.1:2380" } } },
			"cluster.add: field 'peerURLs[1]' must be a URL such as http://10.0.0.1:2380, got '10.0.0.1:2380'" },
		{ "cluster.add", { { peerURLs = { "http://root:hunter2@10.0.0.1:2380" } } },
			"cluster.add: field 'peerURLs[1]' must be a URL such as http://10.0.0.1:2380" },
		{ "cluster.update", { { ID = 1, peerURLs = { "http://a%zz:2380" } } },
			"cluster.update: field 'peerURLs[1]' must be a URL such as http://10.0.0.1:2380, got 'http://a%zz:2380'" },
		{ "cluster.add", { { peerURLs = {} } }, "cluster.add: field 'peerURLs' must list at least one URL" },
		{ "maintenance.defragment", { { all = true, endpoint = "unix:///nowhere/etcd.sock" } },
			"maintenance.defragment: field 'endpoint' excludes 'all'" },
		{ "maintenance.status", { 5 }, "maintenance.status: the request must be a table, got a number" },
	} do
		it("says " .. case[3], function()
			assert.are.equal(case[3], call(case[1], table.unpack(case[2])))
		end)
	end
end)

describe("a txn", function()
	local put = { key = "k", value = "v" }

	local function compare(fields)
		return { compare = { fields } }
	end

	for _, case in ipairs {
		{ nil, "txn: the request must be a table, got nil" },
		{ "x", "txn: the request must be a table, got a string" },
		{ { compares = {} }, "txn: unknown field 'compares' (did you mean 'compare'?)" },
		{ { ["then"] = {} }, "txn: unknown field 'then' (did you mean 'success'?)" },
		{ { ["else"] = {} }, "txn: unknown field 'else' (did you mean 'failure'?)" },
		{ { put = put }, "txn: unknown field 'put'" },

		{ { success = { put } }, "txn: success[1] must have one of put, get, delete, txn" },
		{ { success = { {} } }, "txn: success[1] must have one of put, get, delete, txn" },
		{ { success = { { { put = put } } } }, "txn: success[1] must have one of put, get, delete, txn" },
		{ { success = { put = put } }, "txn: field 'success' must be a list, with the keys 1 to n only, but has 'put'" },
		{ { success = { { putt = put } } }, "txn: success[1]: unknown field 'putt' (did you mean 'put'?)" },
		{ { success = { { del = { key = "k" } } } }, "txn: success[1]: unknown field 'del' (did you mean 'delete'?)" },
		{ { success = { { put = put, key = "k" } } }, "txn: success[1]: unknown field 'key'" },
		{ { success = { { put = put, get = "k" } } },
			"txn: success[1]: field 'get' is a second operation, one is allowed" },
		{ { success = { { put = put } }, failure = { { get = "k" }, "put" } },
			"txn: field 'failure[2]' must be a table, got a string" },
		{ { success = { { put = "k" } } }, "txn: field 'success[1].put' must be a table, got a string" },
		{ { success = { { get = 5 } } }, "txn: success[1].get: field 'key' must be a string, got a number" },
		{ { success = { { put = { key = "k" } } } }, "txn: success[1].put: missing field 'value'" },
		{ { success = { { put = { key = "k", val = "v" } } } },
			"txn: success[1].put: unknown field 'val' (did you mean 'value'?)" },
		{ { success = { { put = { key = "k", value = "v", timeout = 1 } } } },
			"txn: success[1].put: unknown field 'timeout' (it belongs in the request itself)" },
		{ { failure = { { txn = { success = { { get = { keys = "k" } } } } } } },
			"txn: failure[1].txn.success[1].get: unknown field 'keys' (did you mean 'key'?)" },

		{ compare { key = "k", target = "MOD", result = "EQUAL" }, "txn: compare[1]: missing field 'mod_revision'" },
		{ compare { key = "k", target = "MOD", result = "EQUAL", version = 1 },
			"txn: compare[1]: unknown field 'version' (the target 'MOD' takes 'mod_revision')" },
		{ compare { key = "k", target = "MOD", result = "EQUAL", mod_revision = 1, value = "v" },
			"txn: compare[1]: unknown field 'value' (the target 'MOD' takes 'mod_revision')" },
		{ compare { key = "k", result = "EQUAL" }, "txn: compare[1]: missing field 'target'" },
		{ compare { key = "k", result = "EQUAL", mod_revision = 1, version = 1 },
			"txn: compare[1]: missing field 'target'" },
		{ compare { key = "k", result = "EQUAL", version = 1, traget = "VERSION" },
			"txn: compare[1]: unknown field 'traget' (did you mean 'target'?)" },
		{ compare { key = "k", target = "version", result = "EQUAL", version = 1 },
			"txn: compare[1]: field 'target' must be one of VERSION, CREATE, MOD, VALUE, LEASE, got 'version'" },
		{ compare { key = "k", target = "VERSION", result = "==", version = 1 },
			"txn: compare[1]: field 'result' must be one of EQUAL, GREATER, LESS, NOT_EQUAL, =, >, <, !=, got '=='" },
		{ compare { key = "k", target = "VERSION", op = "EQUAL", version = 1 },
			"txn: compare[1]: unknown field 'op' (did you mean 'result'?)" },
		{ { compare = { key = "k" } }, "txn: field 'compare' must be a list, with the keys 1 to n only, but has 'key'" },
	} do
		it("says " .. case[2], function()
			assert.are.equal(case[2], call("txn", case[1]))
		end)
	end
end)

describe("the module", function()
	it("names the dot that is missing", function()
		assert.are.equal("newclient: call it as etcd.newclient(...)",
			raised(function() etcd:newclient { endpoints = ENDPOINTS } end))
		assert.are.equal("use: call it as etcd.use(...)", raised(function() etcd:use "standalone" end))
		assert.are.equal("go: call it as etcd.go(...)", raised(function() etcd:go(print) end))
		local called = "the module is no function: call it as etcd.newclient(...), or as etcd.pcall(f, ...)"
		assert.are.same({ false, called }, { etcd:pcall(print, "never") })
		assert.are.equal(called, raised(function() etcd { endpoints = ENDPOINTS } end))
	end)

	it("names what etcd.go lacks", function()
		assert.are.equal("go: the first argument must be a function, got nil", raised(etcd.go))
		assert.are.equal("go: the first argument must be a function, got a table", raised(etcd.go, {}))
	end)

	it("names the loop that is none", function()
		assert.are.equal("use: the loop must be a name or a table, got nil", raised(etcd.use))
		assert.are.equal("use: the loop must be a name or a table, got a number", raised(etcd.use, 1))
		assert.are.equal("use: the loop lacks the function 'wake'",
			raised(etcd.use, { current = print, park = print, start = print }))
	end)

	it("has the version of Cargo.toml", function()
		local file = assert(io.open "Cargo.toml")
		local version = file:read("*a"):match '\nversion = "([^"]+)"'
		file:close()
		assert.are.equal(version, etcd._VERSION)
	end)
end)

describe("a method of", function()
	local function each(kind, object, methods)
		for name in methods:gmatch "%S+" do
			local message = ("%s: the first argument is no %s, call it as %s:%s(...)"):format(name, kind, kind, name)
			for _, self in ipairs { 1, "x", true, {}, nowhere ~= object and nowhere or stream } do
				assert.are.equal(message, raised(object[name], self))
			end
			assert.are.equal(message, raised(object[name]))
			local decorator = setmetatable({}, { __index = object })
			assert.are.equal(message, raised(function() decorator[name](decorator, {}) end))
			local line = debug.getinfo(1, "l").currentline + 1
			local _, placed = pcall(function() object[name](1) end)
			assert.matches("messages_spec%.lua:" .. line .. ": ", placed)
		end
	end

	it("a client", function()
		each("client", nowhere, "put get delete txn compact grant revoke ttl leases keepalive watch close")
	end)

	it("a watch", function()
		local messages = "read events status close"
		each("watch", stream, messages)
		local message = "close: the first argument is no watch, call it as watch:close(...)"
		assert.are.equal(message, raised(stream.cancel, 1))
	end)

	it("a keepalive", function()
		each("keepalive", renewals, "write read close")
	end)
end)

describe("a stream", function()
	it("names the seconds that are none", function()
		for kind, object in pairs { watch = stream, keepalive = renewals } do
			object:read(0)
			for seconds, reason in pairs {
				[-1] = "is no number of seconds: -1", soon = "must be a number of seconds, got a string",
				[true] = "must be a number of seconds, got a boolean",
			} do
				local answer, message, info = object:read(seconds)
				assert.is_nil(answer)
				assert.are.equal(kind .. ": read: 'seconds' " .. reason, message)
				assert.are.same({ code = "invalid_argument", applied = "no", field = "seconds" }, info)
			end
		end
	end)

	it("says that it is closed, and that nothing is to come", function()
		local lease = assert(client:grant { TTL = 60, keepalive = false }).ID
		local once = assert(client:keepalive { ID = lease })
		assert(once:read())
		assert.are.equal(
			"keepalive: failed_precondition: nothing was written since the last read, and nothing renews the lease",
			select(2, once:read()))
		once:close()
		assert.are.equal("keepalive: closed: the stream is closed", select(2, once:read()))
		assert.are.equal("keepalive: closed: the stream is closed", select(2, once:write()))
		local watch = assert(client:watch(server.prefix()))
		watch:close()
		assert.are.equal("watch: closed: the watch is closed", select(2, watch:read()))
		local closed = etcd.newclient { endpoints = ENDPOINTS }
		closed:close()
		assert.are.equal("get: closed: the client is closed", select(2, closed:get "k"))
	end)

	it("shows its end in its text, be it closed or compacted", function()
		local key = server.prefix()
		local old = assert(client:put { key = key, value = "1" }).header.revision
		local new = assert(client:put { key = key, value = "2" }).header.revision
		assert(client:compact(new))
		local watch = assert(client:watch { key = key, revision = old })
		assert.are.equal("compacted", select(3, watch:read()).code)
		assert.matches(" %(ended%)$", tostring(watch))
		assert.is_nil(watch.ended)
	end)
end)

describe("the short form", function()
	local function same(name, field, value, more)
		local long = { [field] = value }
		for k, v in pairs(more or {}) do
			long[k] = v
		end
		local one, two = assert(client[name](client, value)), assert(client[name](client, long))
		return one, two
	end

	it("stands for the one field that a request must have", function()
		local key = server.prefix()
		assert(client:put { key = key, value = "1" })
		local one, two = same("get", "key", key)
		assert.are.same(two.kvs, one.kvs)
		assert.are.equal("1", one.kvs[1].value)
		assert.are.equal(1, assert(client:delete(key)).deleted)

		local lease = assert(client:grant(60))
		assert.are.equal(60, lease.TTL)
		one, two = same("ttl", "ID", lease.ID)
		assert.are.equal(two.ID, one.ID)
		assert.are.equal(60, one.grantedTTL)
		assert.are.equal(60, assert(client:ttl(("0x%x"):format(lease.ID))).grantedTTL)
		assert.is_true(client:keepalive(lease.ID):read().TTL > 0)
		assert(client:revoke(lease.ID))
		assert.are.equal(-1, assert(client:ttl(lease.ID)).TTL)

		local watch = assert(client:watch(key))
		local revision = assert(client:put { key = key, value = "2" }).header.revision
		assert.are.equal(revision, assert(watch:read(30)).events[1].kv.mod_revision)
		watch:close()
		assert(client:compact(revision))
		assert.are.equal("compacted", select(3, client:get { key = key, revision = revision - 1 }).code)
	end)

	it("stands for an operation's too", function()
		local key = server.prefix()
		assert(client:put { key = key, value = "1" })
		local responses = assert(client:txn { success = { { get = key }, { delete = key } } }).responses
		assert.are.equal("1", responses[1].get.kvs[1].value)
		assert.are.equal(1, responses[2].delete.deleted)
	end)
end)

describe("math.huge", function()
	it("is no limit", function()
		local key = server.prefix()
		local patient = etcd.newclient { endpoints = { server.endpoint() }, timeout = math.huge }
		assert(patient:put { key = key, value = "1" })
		assert(patient:get { key = key, timeout = math.huge })
		local watch = assert(patient:watch { key = key, timeout = math.huge })
		assert(patient:put { key = key, value = "2" })
		assert.are.equal("2", assert(watch:read(math.huge)).events[1].kv.value)
		patient:close()
		assert.are.equal("closed", select(3, watch:read(math.huge)).code)
	end)
end)
