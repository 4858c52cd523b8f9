-- client.auth: users, roles, and who may do what. In: an etcd of the spec's own. Out: what each call does, as etcdctl
-- sees it too, for root, for a user with the right to it and for one without.

local etcd = require "silly.store.etcd"
local schema = require "spec.support.schema"
local server = require "spec.support.etcd"
local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"

local node, root

-- What etcdctl prints for a command of root's.
local function ctl(command)
	local line = "ETCDCTL_API=3 etcdctl --endpoints=%s --user=root:secret %s"
	local status, output = server.sh(line:format(node.endpoint, command))
	assert(status == 0, output)
	return output
end

local function connect(user, password)
	return etcd.newclient { endpoints = { node.endpoint }, user = user, password = password, retry = 0 }
end

lazy_setup(function()
	node = server.start()
	local first <close> = etcd.newclient { endpoints = { node.endpoint } }
	assert(first.auth:useradd { name = "root", password = "secret" })
	assert(first.auth:roleadd "root")
	assert(first.auth:usergrant { user = "root", role = "root" })
	assert(first.auth:enable())
	root = connect("root", "secret")
end)

lazy_teardown(function()
	root:close()
	node:kill()
end)

describe("users and roles", function()
	it("are what etcdctl says", function()
		assert(root.auth:useradd { name = "reader", password = "one" })
		assert(root.auth:useradd { name = "badge", nopassword = true })
		assert(root.auth:roleadd "reads")
		assert(root.auth:rolegrant { role = "reads", permission = "READ", key = "config/", prefix = true })
		assert(root.auth:rolegrant { role = "reads", permission = "READWRITE", key = "own" })
		assert(root.auth:rolegrant { role = "reads", permission = "WRITE", key = "z", fromkey = true })
		assert(root.auth:usergrant { user = "reader", role = "reads" })
		assert.are.equal("badge\nreader\nroot\n", ctl "user list")
		assert.are.same({ "badge", "reader", "root" }, assert(root.auth:userlist()).users)
		assert.are.equal("reads\nroot\n", ctl "role list")
		assert.are.same({ "reads", "root" }, assert(root.auth:rolelist()).roles)
		assert.is_truthy(ctl("user get reader"):find("Roles: reads", 1, true))
		assert.are.same({ "reads" }, assert(root.auth:userget "reader").roles)
		local seen = ctl "role get reads"
		for _, text in ipairs { "[config/, config0)", "own", "[z, <open ended>" } do
			assert.is_truthy(seen:find(text, 1, true), seen)
		end
		assert.are.same({
			{ permType = "READ", key = "config/", range_end = "config0" },
			{ permType = "READWRITE", key = "own", range_end = "" },
			{ permType = "WRITE", key = "z", range_end = "\0" },
		}, assert(root.auth:roleget "reads").perm)
	end)

	it("permit what they say, and nothing else", function()
		local reader <close> = connect("reader", "one")
		assert(reader:get { key = "config/", prefix = true })
		assert(reader:put { key = "own", value = "v" })
		assert(reader:put { key = "zz", value = "v" })
		for _, denied in ipairs { { "put", { key = "config/a", value = "v" } }, { "get", { key = "a" } } } do
			local _, _, info = schema.run(reader, table.unpack(denied))
			assert.are.same({ "permission_denied", "no" }, { info.code, info.applied })
		end
	end)

	it("may be named as etcd's messages name them", function()
		assert(root.auth:useradd { name = "twice", password = "x" })
		assert(root.auth:roleadd "none")
		assert(root.auth:usergrant { user = "twice", role = "none" })
		assert(root.auth:userrevoke { name = "twice", role = "none" })
		assert(root.auth:rolegrant { name = "none", permission = "READ", key = "k" })
		assert(root.auth:rolerevoke { role = "none", key = "k" })
		assert.are.same({}, assert(root.auth:roleget "none").perm)
		assert(root.auth:userdelete "twice")
		assert(root.auth:roledelete "none")
	end)

	it("have another password from then on", function()
		assert(root.auth:useradd { name = "changer", password = "old" })
		assert(root.auth:userpassword { name = "changer", password = "new" })
		local old <close> = connect("changer", "old")
		local new <close> = connect("changer", "new")
		local _, _, info = old:get "a"
		assert.are.equal("invalid_argument", info.code)
		_, _, info = new:get "a"
		assert.are.equal("permission_denied", info.code)
		assert(root.auth:userdelete "changer")
	end)

	it("S4: show no password where a call fails", function()
		local reader <close> = connect("reader", "one")
		for _, call in ipairs { "auth.useradd", "auth.userpassword" } do
			local _, message, info = schema.run(reader, call, { name = "reader", password = "open-sesame" })
			assert.are.equal("permission_denied", info.code)
			assert.is_nil(message:find("sesame", 1, true))
			_, message = schema.run(reader, call, { name = "reader", pasword = "open-sesame" })
			assert.is_nil(message:find("sesame", 1, true))
		end
	end)
end)

describe("a call of client.auth", function()
	-- What each may be refused for that has the right to it; what is not here succeeds.
	local RIGHT = {
		["auth.useradd"] = "failed_precondition", ["auth.roleadd"] = "failed_precondition",
		["auth.userdelete"] = "failed_precondition", ["auth.userget"] = "failed_precondition",
		["auth.userpassword"] = "failed_precondition", ["auth.usergrant"] = "failed_precondition",
		["auth.userrevoke"] = "failed_precondition", ["auth.roleget"] = "failed_precondition",
		["auth.roledelete"] = "failed_precondition", ["auth.rolegrant"] = "failed_precondition",
		["auth.rolerevoke"] = "failed_precondition",
	}
	local needs = schema.least {
		name = "nobody", user = "nobody", role = "nothing",
	}
	-- They exist.
	needs["auth.useradd"].name, needs["auth.roleadd"].name = "root", "root"

	for _, call in ipairs(schema.calls) do
		-- Switching it on and off has a test of its own.
		if call:find "^auth%." and call ~= "auth.enable" and call ~= "auth.disable" then
			it("is judged by the server for root: " .. call, function()
				local answer, message, info = schema.run(root, call, needs[call])
				if info and info.code == "unimplemented" then
					assert.is_truthy(message:find("(etcd has it from 3.5.0 on)", 1, true), message)
				elseif RIGHT[call] then
					assert.are.equal(RIGHT[call], info.code, message)
				else
					assert.is_truthy(answer, message)
				end
			end)

			it("is refused to a user without the right, and without a login: " .. call, function()
				local reader <close> = connect("reader", "one")
				local anybody <close> = connect()
				local answer, message, info = schema.run(reader, call, needs[call])
				if call == "auth.status" and (answer or info.code == "unimplemented") then
					return -- It is no secret.
				end
				assert.are.same({ "permission_denied", "no" }, { info.code, info.applied }, message)
				answer, message, info = schema.run(anybody, call, needs[call])
				assert.is_nil(answer)
				assert.is_true(info.code == "invalid_argument" or info.code == "permission_denied", message)
			end)
		end
	end

	it("lets users see their own roles", function()
		local reader <close> = connect("reader", "one")
		assert.are.same({ "reads" }, assert(reader.auth:userget "reader").roles)
		assert.are.equal(3, #assert(reader.auth:roleget "reads").perm)
	end)
end)

describe("authentication", function()
	it("is switched on and off under load, and no call of a client that can log in fails", function()
		local client <close> = etcd.newclient { endpoints = { node.endpoint }, user = "root", password = "secret" }
		local key = server.prefix()
		local stream <close> = assert(client:watch { key = key })
		local done, writes = false, 0
		silly.run(function()
			for _ = 1, 4 do
				task.fork(function()
					while not done do
						assert(client:put { key = key, value = "v" })
						writes = writes + 1
						time.sleep(1)
					end
				end)
			end
			for _ = 1, 5 do
				local before = writes
				assert(root.auth:disable())
				while writes < before + 20 do time.sleep(1) end
				before = writes
				assert(root.auth:enable())
				while writes < before + 20 do time.sleep(1) end
			end
			done = true
		end)
		local events = 0
		while events < writes do
			events = events + #assert(stream:read(30)).events
		end
		assert.are.equal(writes, events)
	end)
end)
