-- Authentication on a node of its own: tokens that wear out, a store that changes, and what the caller sees of it.

local silly_etcd = require "silly.store.etcd"
local etcd = require "spec.support.etcd"

local function client(node, conf)
	conf = conf or { user = "root", password = "hush" }
	conf.endpoints = { node.endpoint }
	return silly_etcd.newclient(conf)
end

describe("authentication", function()
	local node

	local function ctl(words, user)
		local command = ("ETCDCTL_API=3 etcdctl --endpoints %s %s %s"):format(
			node.endpoint, user == false and "" or "--user root:hush", words)
		local status, output = etcd.sh(command)
		assert(status == 0, output)
	end

	local function enable()
		ctl("user add root:hush", false)
		ctl("user grant-role root root", false)
		ctl("auth enable", false)
	end

	-- How often the server was asked for a login and agreed.
	local function logins()
		return node:metric 'grpc_server_handled_total{grpc_code="OK",grpc_method="Authenticate"' or 0
	end

	-- Lets time pass, in which the server forgets the token.
	local function idle(watcher, seconds)
		assert.equal("timeout", select(2, watcher:read(seconds)))
	end

	before_each(function()
		node = etcd.start { flags = { "--auth-token-ttl=1" } }
	end)

	after_each(function()
		node:kill()
	end)

	it("a server without it serves a client that has a password", function()
		assert(client(node):put { key = "k", value = "v" })
	end)

	it("A1: a token that has expired is replaced unseen, for calls, leases and new watches", function()
		enable()
		local c = client(node)
		local w = assert(c:watch { key = "k" })
		local lease = assert(c:grant { TTL = 2 })
		assert(c:put { key = "leased", value = "v", lease = lease.ID })
		for round = 1, 2 do
			idle(w, 3.5)
			assert(c:put { key = "k", value = tostring(round) })
			assert.equal(tostring(round), assert(w:read()).events[1].kv.value)
			assert(c:watch { key = "other" }):close()
		end
		assert.equal(1, assert(c:get { key = "leased" }).count)
		assert(c:revoke { ID = lease.ID })
	end)

	it("A2: many calls at once log in once", function()
		enable()
		local run = ([[
			local etcd = require "silly.store.etcd"
			local wg = require "silly.sync.waitgroup".new()
			local c = etcd.newclient { endpoints = { %q }, user = "root", password = "hush" }
			for i = 1, 100 do
				wg:fork(function() assert(c:put { key = "k" .. i, value = "v" }) end)
			end
			wg:wait()
		]]):format(node.endpoint)
		local before = logins()
		local file = os.tmpname()
		local out = assert(io.open(file, "w"))
		out:write(run)
		out:close()
		local status, output = etcd.sh("bin/silly-run " .. file)
		os.remove(file)
		assert.equal("", output)
		assert.equal(0, status)
		assert.equal(1, logins() - before)
	end)

	it("A3: a store that changes under the token is invisible, and nothing is written twice", function()
		enable()
		local c = client(node)
		for i = 1, 5 do
			ctl("user add user" .. i .. ":x")
			assert(c:put { key = "counted", value = tostring(i) })
		end
		assert.equal(5, assert(c:get { key = "counted" }).kvs[1].version)
	end)

	it("A3: so is one under a JWT, which names the store's revision", function()
		local function path(name)
			return node.dir .. "/" .. name
		end
		local status, output = etcd.sh(("openssl genrsa -out %s 2048 && openssl rsa -in %s -pubout -out %s"):format(
			path "key", path "key", path "pub"))
		assert(status == 0, output)
		local signed = etcd.start {
			flags = { ("--auth-token=jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=10m"):format(path "pub", path "key") },
		}
		node:kill()
		node = signed
		enable()
		local c = client(node)
		local lease = assert(c:grant { TTL = 2 })
		local renewals = assert(c:keepalive(lease.ID))
		local before = logins()
		for i = 1, 5 do
			ctl("user add user" .. i .. ":x")
			assert(c:put { key = "counted", value = tostring(i), lease = lease.ID })
			local w = assert(c:watch { key = "counted", revision = 1 })
			assert.equal("1", assert(w:read()).events[1].kv.value)
			assert(renewals:read())
		end
		assert.equal(5, assert(c:get { key = "counted" }).kvs[1].version)
		-- `ctl` logs in for each user that it adds, and the client for each change.
		assert.is_true(logins() - before <= 10)
	end)

	it("A5: it can be switched on and off under a client", function()
		local c = client(node)
		assert(c:put { key = "k", value = "1" })
		enable()
		assert(c:put { key = "k", value = "2" })
		ctl("auth disable")
		assert(c:put { key = "k", value = "3" })
		assert.equal(3, assert(c:get { key = "k" }).kvs[1].version)
	end)

	it("A5: a wrong password is an error at once, with the server's words", function()
		enable()
		local ok, message, info = client(node, { user = "root", password = "s3cret" }):get { key = "k" }
		assert.is_nil(ok)
		assert.matches("authentication failed, invalid user ID or password", message, 1, true)
		assert.equal("invalid_argument", info.code)
		assert.not_matches("s3cret", message, 1, true)
	end)

	it("A6: who has no permission is denied, in calls and watches, while others' watches live on", function()
		enable()
		ctl("user add joe:j")
		ctl("role add r")
		ctl("role grant-permission r readwrite mine")
		ctl("user grant-role joe r")
		local c = client(node, { user = "joe", password = "j" })
		local live = assert(c:watch { key = "mine" })
		local before = logins()
		for _, call in ipairs { "get", "watch" } do
			local ok, message, info = c[call](c, { key = "other", revision = call == "watch" and 1 or nil })
			assert.is_nil(ok)
			assert.matches("etcdserver: permission denied", message, 1, true)
			assert.equal("permission_denied", info.code)
		end
		assert.equal(0, logins() - before)
		assert(c:put { key = "mine", value = "v" })
		assert.equal("v", assert(live:read()).events[1].kv.value)
	end)

	it("A6: a permission that is revoked ends calls at once, and a watch when its stream begins anew", function()
		enable()
		ctl("user add joe:j")
		ctl("role add r")
		ctl("role grant-permission r readwrite mine")
		ctl("user grant-role joe r")
		local c = client(node, { user = "joe", password = "j" })
		local live = assert(c:watch { key = "mine" })
		assert(c:put { key = "mine", value = "1" })
		ctl("user revoke-role joe r")
		local ok, _, info = c:put { key = "mine", value = "2" }
		assert.is_nil(ok)
		assert.equal("permission_denied", info.code)
		assert(client(node):put { key = "mine", value = "3" })
		assert.equal("1", assert(live:read()).events[1].kv.value)
		assert.equal("3", assert(live:read()).events[1].kv.value)
		node:kill()
		node:start()
		ok, _, info = live:read(30)
		assert.is_nil(ok)
		assert.equal("permission_denied", info.code)
	end)

	it("without credentials, a server that asks for them says so", function()
		enable()
		local ok, message = client(node, {}):get { key = "k" }
		assert.is_nil(ok)
		assert.matches("user name is empty", message, 1, true)
	end)

	it("a token from elsewhere is used as it is", function()
		enable()
		local ok, message, info = client(node, { token = "nonsense" }):get { key = "k" }
		assert.is_nil(ok)
		assert.matches("invalid auth token", message, 1, true)
		assert.equal("unauthenticated", info.code)
	end)

	it("S4: no secret shows", function()
		local c = client(node, { user = "root", password = "s3cret" })
		assert.not_matches("s3cret", tostring(c), 1, true)
		local t = client(node, { token = "t0ken" })
		assert.not_matches("t0ken", tostring(t), 1, true)
	end)
end)

describe("newclient", function()
	for _, case in ipairs {
		{ { user = "root" }, "missing field 'password'" },
		{ { password = "hush" }, "missing field 'user'" },
		{ { user = "root", password = "s3cret", token = "t" }, "field 'token' excludes 'user' and 'password'" },
		{ { user = 1, password = "hush" }, "field 'user' must be a string" },
	} do
		local conf, message = case[1], case[2]
		it("refuses: " .. message, function()
			conf.endpoints = { "127.0.0.1:1" }
			local ok, err = pcall(silly_etcd.newclient, conf)
			assert.is_false(ok)
			assert.matches(message, err, 1, true)
			assert.not_matches("s3cret", err, 1, true)
		end)
	end
end)
