-- Options of calls beside retries: deadline, endpoint, headers, min_revision, max_request; and the configuration from
-- the environment. In: etcds of the spec's own, and the one that all share. Out: where a call went, how long it took,
-- what it was refused for.

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local server = require "spec.support.etcd"

local prefix

before_each(function()
	prefix = server.prefix()
end)

describe("a deadline", function()
	local node

	lazy_setup(function()
		node = server.start()
	end)

	lazy_teardown(function()
		node:kill()
	end)

	it("bounds a call with all its attempts and pauses, whatever these may be", function()
		local client <close> = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 1000000, retry_sleep = 10 }
		local began = core:monotonic()
		local answer, message, info = client:put { key = "a", value = "b", deadline = 0.5 }
		assert.is_nil(answer)
		assert.are.same({ "deadline_exceeded", "no" }, { info.code, info.applied })
		assert.is_true(info.attempts > 1)
		assert.is_truthy(message:find("put: deadline_exceeded: the deadline leaves no time for another attempt after "
			.. "unavailable: connection refused (127.0.0.1:1), after ", 1, true), message)
		assert.is_true(core:monotonic() - began <= 5000)
	end)

	it("is the client's, unless a request has another", function()
		node:pause()
		local client <close> = etcd.newclient { endpoints = { node.endpoint }, deadline = 0.2, timeout = 60 }
		local _, _, info = client:get "a"
		assert.are.equal("deadline_exceeded", info.code)
		for _, call in ipairs { "watch", "get" } do
			_, _, info = client[call](client, { key = "a", deadline = 0.1 })
			assert.are.equal("deadline_exceeded", info.code, call)
		end
		node:resume()
		assert(client:get { key = "a", deadline = math.huge })
		assert(client:get { key = "a", deadline = 30 })
	end)
end)

describe("min_revision", function()
	it("is satisfied by a store that has had it", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() } }
		local revision = assert(client:put { key = prefix, value = "v" }).header.revision
		for _, serializable in ipairs { true, false } do
			local get = { key = prefix, min_revision = revision, serializable = serializable }
			assert.are.equal("v", assert(client:get(get)).kvs[1].value)
			get.min_revision = nil
			local txn = { success = { { get = get }, { txn = { success = { { get = get } } } } }, min_revision = revision }
			assert.are.equal("v", assert(client:txn(txn)).responses[1].get.kvs[1].value)
		end
	end)

	it("fails a read of a store that has not", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() } }
		for _, call in ipairs {
			{ "get", { key = prefix, min_revision = 1 << 60 } },
			{ "get", { key = prefix, min_revision = 1 << 60, serializable = true } },
			{ "txn", { success = { { get = prefix } }, min_revision = 1 << 60 } },
		} do
			local answer, message, info = client[call[1]](client, call[2])
			assert.is_nil(answer)
			assert.are.same({ "out_of_range", "no" }, { info.code, info.applied })
			assert.is_truthy(message:find("before the 1152921504606846976 of 'min_revision'", 1, true), message)
		end
	end)

	it("is for a transaction that only reads", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() } }
		for _, txn in ipairs {
			{ success = { { put = { key = prefix, value = "" } } } },
			{ success = { { get = prefix } }, failure = { { txn = { success = { { delete = prefix } } } } } },
			-- Without a read etcd makes no difference between serializable and linearizable.
			{ compare = { { key = prefix, version = 0 } } }, {},
		} do
			txn.min_revision = 1
			local _, message, info = client:txn(txn)
			assert.are.same({ "invalid_argument", "min_revision" }, { info.code, info.field })
			assert.are.equal(
				"txn: field 'min_revision' is for a transaction that gets something and changes nothing", message)
		end
	end)
end)

describe("max_request", function()
	it("refuses what is longer before it is sent", function()
		local client <close> = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 0 }
		local answer, message, info = client:put { key = "a", value = ("x"):rep(2 << 20) }
		assert.is_nil(answer)
		assert.are.same({ code = "resource_exhausted", applied = "no" }, info)
		assert.are.equal("put: resource_exhausted: the request has 2097160 bytes, more than the 2097152 of the client's "
			.. "'max_request'", message)
	end)

	it("counts a password as it is", function()
		local client <close> = etcd.newclient { endpoints = { "127.0.0.1:1" }, max_request = 100, retry = 0 }
		local _, _, info = client.auth:useradd { name = "u", password = ("x"):rep(80) }
		assert.are.equal("unavailable", info.code)
		_, _, info = client.auth:useradd { name = "u", password = ("x"):rep(200) }
		assert.are.equal("resource_exhausted", info.code)
	end)

	it("holds for a watch, and the others of its client go on", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() }, retry = 0 }
		local stream <close> = assert(client:watch(prefix))
		local answer, message, info = client:watch(("k"):rep(3 << 20))
		assert.is_nil(answer)
		assert.are.same({ code = "resource_exhausted", applied = "no" }, info)
		assert.is_truthy(message:find("of the client's 'max_request'", 1, true), message)
		assert(client:put { key = prefix, value = "" })
		assert.are.equal(prefix, assert(stream:read(10)).events[1].kv.key)
		assert.are.equal("ready", stream:status().state)
	end)

	it("may be another", function()
		local small <close> = etcd.newclient { endpoints = { server.endpoint() }, max_request = 100 }
		assert(small:put { key = prefix, value = ("x"):rep(50) })
		local _, _, info = small:put { key = prefix, value = ("x"):rep(100) }
		assert.are.equal("resource_exhausted", info.code)
		local large <close> = etcd.newclient { endpoints = { server.endpoint() }, max_request = 64 << 20 }
		_, _, info = large:put { key = prefix, value = ("x"):rep(3 << 20) }
		assert.is_truthy(info.server_message)
	end)
end)

describe("headers", function()
	it("are refused where there are too many, or where calls share a stream", function()
		local client <close> = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 0 }
		local many = {}
		for i = 1, 40000 do
			many["x-" .. i] = "v"
		end
		local _, message, info = client:get { key = "a", headers = many }
		assert.are.same({ "invalid_argument", "headers" }, { info.code, info.field })
		assert.are.equal("get: field 'headers' has more than the 8192 bytes that are allowed", message)
		_, message, info = client:watch { key = "a", headers = { a = "b" } }
		assert.are.same({ "invalid_argument", "headers" }, { info.code, info.field })
		assert.are.equal(
			"watch: field 'headers' cannot be chosen here: all watches of a client share a stream", message)
	end)
end)

describe("an endpoint", function()
	it("is one of the client's, encrypted as its are", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() } }
		assert(client:get { key = prefix, endpoint = "http://" .. server.endpoint() })
		local _, message, info = client:get { key = prefix, endpoint = "https://" .. server.endpoint() }
		assert.are.same({ "invalid_argument", "endpoint" }, { info.code, info.field })
		assert.is_truthy(message:find("must be one of the client's: " .. server.endpoint(), 1, true), message)
	end)

	it("cannot be chosen where all members are asked", function()
		local client <close> = etcd.newclient { endpoints = { server.endpoint() } }
		local _, message, info = client.maintenance:compare { endpoint = server.endpoint() }
		assert.are.same({ "invalid_argument", "endpoint" }, { info.code, info.field })
		assert.are.equal(
			"maintenance.compare: field 'endpoint' cannot be chosen here: all members are asked", message)
	end)
end)

describe("min_version", function()
	it("takes a server that is as new, and no older one", function()
		local version = server.version()
		local major, minor = version:match "^(%d+)%.(%d+)"
		for _, wanted in ipairs { "3.0", version, major .. "." .. minor } do
			local client <close> = etcd.newclient { endpoints = { server.endpoint() }, min_version = wanted }
			assert(client:put { key = prefix, value = wanted })
			assert(client:watch(prefix)):close()
			assert(client:grant { TTL = 60 })
		end
		local newer = ("%d.%d"):format(major, minor + 1)
		local client <close> = etcd.newclient { endpoints = { server.endpoint() }, min_version = newer }
		for _, call in ipairs { "get", "watch" } do
			local _, message, info = client[call](client, { key = prefix })
			assert.are.same({ "failed_precondition", "no" }, { info.code, info.applied })
			local text = ("the server is etcd %s, older than the %s of 'min_version' (%s)"):format(version, newer,
				server.endpoint())
			assert.is_truthy(message:find(text, 1, true), message)
		end
	end)
end)

describe("fromenv", function()
	-- What a script sees with these variables.
	local function conf(variables)
		local path = os.tmpname()
		local file <close> = assert(io.open(path, "w"))
		file:write [[
			local function show(value)
				if type(value) ~= "table" then
					return tostring(value)
				end
				local keys, words = {}, {}
				for key in pairs(value) do keys[#keys + 1] = key end
				table.sort(keys)
				for i, key in ipairs(keys) do words[i] = key .. "=" .. show(value[key]) end
				return "{" .. table.concat(words, " ") .. "}"
			end
			local etcd = require "silly.store.etcd"
			local conf = etcd.fromenv()
			print(show(conf))
			conf.tls = nil
			etcd.newclient(conf)
		]]
		file:close()
		local command = "env -u ETCDCTL_ENDPOINTS %s LUA_PATH='%s' LUA_CPATH='%s' lua%s %s"
		local status, output =
			server.sh(command:format(variables, package.path, package.cpath, _VERSION:match "%d+%.%d+", path))
		os.remove(path)
		return (output:gsub("\n$", "")), status
	end

	it("reads the variables of etcdctl", function()
		assert.are.equal("{endpoints={1=127.0.0.1:2379}}", conf "")
		assert.are.equal("{endpoints={1=a:1 2=b:2}}", conf "ETCDCTL_ENDPOINTS=a:1,b:2")
		assert.are.equal("{endpoints={1=srv://example.com}}", conf "ETCDCTL_DISCOVERY_SRV=example.com")
		assert.are.equal("{endpoints={1=srv://example.com/blue}}",
			conf "ETCDCTL_DISCOVERY_SRV=example.com ETCDCTL_DISCOVERY_SRV_NAME=blue")
		assert.are.equal("{endpoints={1=127.0.0.1:2379} password=x:y user=root}", conf "ETCDCTL_USER=root:x:y")
		assert.are.equal("{endpoints={1=127.0.0.1:2379} password=p user=root}",
			conf "ETCDCTL_USER=root ETCDCTL_PASSWORD=p")
		assert.are.equal("{endpoints={1=https://a:1} tls={ca=/ca cert=/cert insecure_skip_verify=true key=/key}}",
			conf("ETCDCTL_ENDPOINTS=https://a:1 ETCDCTL_CACERT=/ca ETCDCTL_CERT=/cert ETCDCTL_KEY=/key "
				.. "ETCDCTL_INSECURE_SKIP_TLS_VERIFY=1"))
	end)

	it("takes nothing for granted", function()
		local output, status = conf "ETCDCTL_USER=root"
		assert.are_not.equal(0, status)
		assert.is_truthy(output:find("newclient: missing field 'password'", 1, true), output)
	end)
end)
