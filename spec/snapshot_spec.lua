-- client.maintenance:snapshot, to files and to functions. In: etcds of the spec's own. Out: files that etcdctl takes,
-- or none; and a client that is not held up meanwhile.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local silly = require "silly"
local task = require "silly.task"

local node, client, path

local function exists(name)
	local file = io.open(name)
	if file then
		file:close()
	end
	return file ~= nil
end

local function read(name)
	local file <close> = assert(io.open(name, "rb"))
	return file:read "a"
end

-- What a command prints.
local function sh(...)
	local status, output = server.sh(table.concat({ ... }, " "))
	assert(status == 0, output)
	return output
end

local function hex(bytes)
	return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

lazy_setup(function()
	node = server.start()
	client = etcd.newclient { endpoints = { node.endpoint } }
	for i = 1, 300 do
		assert(client:put { key = ("key/%03d"):format(i), value = ("value %d "):format(i):rep(500) })
	end
end)

lazy_teardown(function()
	client:close()
	node:kill()
end)

before_each(function()
	path = os.tmpname()
	os.remove(path)
end)

after_each(function()
	os.remove(path)
	os.remove(path .. ".part")
end)

describe("a snapshot", function()
	it("to a file is what etcd's own tools take, key by key", function()
		local last = { 0, 0 }
		local copied = assert(client.maintenance:snapshot {
			file = path,
			progress = function(done, total)
				assert.is_true(done > last[1] and done <= total)
				last = { done, total }
			end,
		})
		assert.are.same({ copied.bytes, copied.bytes }, last)
		assert.are.equal(node.endpoint, copied.endpoint)
		local bytes = read(path)
		assert.are.equal(copied.bytes, #bytes)
		assert.are.equal(hex(bytes:sub(-32)), copied.sha256)
		local sum = sh("head -c -32", path, "| sha256sum")
		assert.are.equal(copied.sha256, sum:match "^%x+")
		assert.are.equal("600\n", sh("stat -c %a", path))
		assert.is_false(exists(path .. ".part"))

		-- Restored by them, who check the hash too, it is the same store.
		local all = { key = "key/", prefix = true }
		local before = assert(client:get(all)).kvs
		local seen = sh(server.utility(), "snapshot status --write-out=json", path)
		assert.is_truthy(seen:find(('"totalSize":%d'):format(copied.bytes - 32), 1, true)
			or seen:find(('"totalSize":%d'):format(copied.bytes), 1, true), seen)
		assert.is_truthy(seen:find(('"revision":%d'):format(assert(client:get("a")).header.revision), 1, true), seen)
		assert.are.equal(seen:match '"version":"([^"]*)"' or "", copied.version)
		assert(client:delete(all))
		node:stop()
		node:restore(path)
		node:start()
		assert.are.same(before, assert(client:get(all)).kvs)
	end)

	it("to a function brings all pieces in order", function()
		local pieces = {}
		local copied = assert(client.maintenance:snapshot { chunk = function(piece) pieces[#pieces + 1] = piece end })
		local bytes = table.concat(pieces)
		assert.is_true(#pieces > 1)
		assert.are.equal(copied.bytes, #bytes)
		assert.are.equal(hex(bytes:sub(-32)), copied.sha256)
	end)

	it("takes the file alone, and the place of one that is there", function()
		local file <close> = assert(io.open(path, "w"))
		file:write "old"
		file:close()
		local copied = assert(client.maintenance:snapshot(path))
		assert.are.equal(copied.bytes, #read(path))
	end)

	it("overwrites what a dead process has left, and leaves a live one alone", function()
		local file <close> = assert(io.open(path .. ".part", "w"))
		file:write(("x"):rep(10 << 20))
		file:close()
		assert(client.maintenance:snapshot(path))
		assert.is_false(exists(path .. ".part"))

		-- Another process holds it, until its standard input ends.
		local holder = assert(io.popen(("flock '%s.part' cat >/dev/null"):format(path), "w"))
		while not os.execute(("test -e '%s.part' && ! flock -n '%s.part' true"):format(path, path)) do end
		local _, message, info = client.maintenance:snapshot { file = path, retry = 0 }
		assert.are.same({ "io", "no" }, { info.code, info.applied })
		assert.are.equal("maintenance.snapshot: io: " .. path .. ".part: another one is being written there", message)
		holder:close()
		assert(client.maintenance:snapshot(path))
	end)

	it("trusts nothing that stands in its way", function()
		local part, victim = path .. ".part", os.tmpname()
		sh("install -m 644 /dev/null", part)
		assert(client.maintenance:snapshot(path))
		assert.are.equal("600\n", sh("stat -c %a", path))
		os.remove(path)
		for command, told in pairs {
			["ln -s " .. victim] = "Too many levels of symbolic links", ["mkfifo"] = "No such device or address",
			["mkdir"] = "Is a directory",
		} do
			sh(command, part)
			local _, message, info = client.maintenance:snapshot { file = path, retry = 0 }
			assert.are.same({ "io", "no" }, { info.code, info.applied })
			assert.are.equal("maintenance.snapshot: io: " .. part .. ": " .. told, message)
			sh("rm -r", part)
		end
		assert.are.equal("", read(victim))
		os.remove(victim)
		assert.is_false(exists(path))
	end)

	it("that is told to have failed leaves no file, whenever its deadline comes", function()
		local ended = { deadline_exceeded = 0, complete = 0 }
		for i = 1, 80 do
			local copied, message, info = client.maintenance:snapshot { file = path, deadline = i * 0.0005 }
			local code = copied and "complete" or info.code
			assert.is_truthy(ended[code], message)
			ended[code] = ended[code] + 1
			-- Where it was given up, the writer may just be deleting it, but gives it no name.
			sh "sleep 0.02"
			assert.are.equal(copied ~= nil, exists(path), i)
			os.remove(path)
		end
		assert.is_true(ended.deadline_exceeded > 0)
	end)

	it("that was given up makes way for the next", function()
		for _ = 1, 30 do
			local progress = function() error("enough", 0) end
			assert.is_false(pcall(client.maintenance.snapshot, client.maintenance, { file = path, progress = progress }))
			assert(client.maintenance:snapshot(path))
		end
	end)

	it("calls the functions that it was given", function()
		local pieces = 0
		local request = { chunk = function() pieces = pieces + 1 end }
		silly.run(function()
			task.fork(function() assert(client.maintenance:snapshot(request)) end)
			task.fork(function() request.chunk = nil end)
		end)
		assert.is_true(pieces > 1)
	end)

	it("says where it cannot be written, and leaves nothing", function()
		for _, case in ipairs {
			{ "/nowhere/snapshot", "/nowhere/snapshot.part: No such file or directory" },
			{ "/dev/full/x", "/dev/full/x.part: Not a directory" },
		} do
			local _, message, info = client.maintenance:snapshot(case[1])
			assert.are.same({ code = "io", applied = "no" }, info)
			assert.are.equal("maintenance.snapshot: io: " .. case[2], message)
		end
	end)

	it("leaves no file where the disk is full", function()
		-- A limit on files stands for a disk: writing fails in the middle either way.
		local script = os.tmpname()
		local file <close> = assert(io.open(script, "w"))
		file:write(([[
			local client = require "silly.store.etcd".newclient { endpoints = { %q } }
			local _, message, info = client.maintenance:snapshot %q
			print(info.code, message)
		]]):format(node.endpoint, path))
		file:close()
		local run = ("trap '' XFSZ; ulimit -f 100; LUA_PATH='%s' LUA_CPATH='%s' lua%s %s"):format(
			package.path, package.cpath, _VERSION:match "%d+%.%d+", script)
		local output = sh("bash -c \"" .. run .. "\"")
		os.remove(script)
		assert.are.equal("io\tmaintenance.snapshot: io: " .. path .. ".part: File too large\n", output)
		assert.is_false(exists(path) or exists(path .. ".part"))
	end)

	it("is given up when a function raises, and the error goes on", function()
		for _, name in ipairs { "progress", "chunk" } do
			local request = { file = name == "progress" and path or nil, [name] = function() error({ "enough" }) end }
			local ok, problem = pcall(client.maintenance.snapshot, client.maintenance, request)
			assert.is_false(ok)
			assert.are.same({ "enough" }, problem)
		end
		local deadline = os.time() + 10
		while exists(path .. ".part") do
			assert(os.time() < deadline, "the part is still there")
		end
		assert.is_false(exists(path))
	end)

	it("ends with its deadline, its client, and a server that falls silent", function()
		local other = server.start()
		local own = etcd.newclient { endpoints = { other.endpoint }, retry = 0 }
		other:pause()
		local _, message, info = own.maintenance:snapshot { file = path, deadline = 0.2 }
		assert.are.equal("deadline_exceeded", info.code, message)
		_, message, info = own.maintenance:snapshot { file = path, timeout = 0.2, retry = 1, retry_sleep = 1 }
		assert.are.equal("deadline_exceeded", info.code, message)
		assert.are.equal(2, info.attempts)
		silly.run(function()
			task.fork(function()
				_, message, info = own.maintenance:snapshot { file = path, timeout = 60 }
			end)
			silly.sleep(50)
			own:close()
		end)
		assert.are.equal("closed", info.code, message)
		assert.is_false(exists(path) or exists(path .. ".part"))
		other:kill()
	end)

	it("is refused to a user who is not root", function()
		local other = server.start()
		local first <close> = etcd.newclient { endpoints = { other.endpoint } }
		assert(first.auth:useradd { name = "root", password = "secret" })
		assert(first.auth:roleadd "root")
		assert(first.auth:usergrant { user = "root", role = "root" })
		assert(first.auth:useradd { name = "user", password = "p" })
		assert(first.auth:enable())
		local user <close> = etcd.newclient { endpoints = { other.endpoint }, user = "user", password = "p" }
		local root <close> = etcd.newclient { endpoints = { other.endpoint }, user = "root", password = "secret" }
		local _, message, info = user.maintenance:snapshot(path)
		assert.are.equal("permission_denied", info.code, message)
		assert.is_false(exists(path) or exists(path .. ".part"))
		assert(root.maintenance:snapshot(path))
		other:kill()
	end)
end)

describe("a snapshot of 256 MiB #memory", function()
	it("takes no memory, and no lease is lost meanwhile", function()
		local other = server.start()
		local own <close> = etcd.newclient { endpoints = { other.endpoint } }
		local value = ("x"):rep(1 << 20)
		for i = 1, 256 do
			assert(own:put { key = "big/" .. i, value = value })
		end
		local lease = assert(own:grant { TTL = 5 })
		assert(own:put { key = "alive", value = "", lease = lease.ID })
		local function resident()
			return tonumber(read("/proc/self/status"):match "VmRSS:%s*(%d+) kB")
		end
		assert(own.maintenance:snapshot(path))
		collectgarbage()
		local before, most = resident(), 0
		local copied = assert(own.maintenance:snapshot {
			file = path,
			progress = function() most = math.max(most, resident()) end,
		})
		assert.is_true(copied.bytes > 256 << 20)
		assert.is_true(most - before < 32 << 10, ("%d kB more"):format(most - before))
		assert.are.equal("alive", assert(own:get "alive").kvs[1].key)
		assert.is_true(assert(own:ttl(lease.ID)).TTL > 0)
		other:kill()
	end)
end)
