-- client:lock and client:session: a place in a queue that is held until it is unlocked or lost, and writes that are
-- done only while it is held. In: the etcd that all share, etcds of the spec's own, and other processes, which are
-- stopped and killed. Out: who holds, who waits, and what is written.

local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 30

local client, name

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	name = server.prefix():gsub("/$", "")
end)

-- The keys of a queue, the oldest first.
local function queue(of)
	local request = { key = (of or name) .. "/", prefix = true, sort_target = "CREATE", keys_only = true }
	local keys = {}
	for i, kv in ipairs(assert(client:get(request)).kvs) do
		keys[i] = kv.key
	end
	return keys
end

-- Waits until so many are in the queue.
local function queued(count)
	repeat
		local keys = queue()
	until #keys == count or time.sleep(5)
end

-- What a process must remember to resume a lock.
local function place(lock)
	return { key = lock.key, revision = lock.revision, lease = lock.lease }
end

-- Another process that runs this with a client and `say`, which writes a line.
local function process(body)
	local path = os.tmpname()
	local file = assert(io.open(path, "w"))
	file:write(([[
		package.path, package.cpath = %q, %q
		local etcd = require "silly.store.etcd"
		local client = etcd.newclient { endpoints = { %q }, timeout = 1, namespace = %q }
		local name = %q
		local function say(...) io.write(table.concat({ ... }, " "), "\n") io.flush() end
		say(io.open("/proc/self/stat"):read "n")
	]]):format(package.path, package.cpath, server.endpoint(), server.namespace, name), body)
	file:close()
	local pipe = assert(io.popen("exec timeout 60 " .. (os.getenv "LUA" or "lua5.4") .. " " .. path))
	local pid = assert(pipe:read "*l")
	finally(function()
		server.sh("kill -KILL " .. pid)
		pipe:close()
		os.remove(path)
	end)
	return pipe, function(signal) server.sh(("kill -%s %s"):format(signal, pid)) end
end

describe("a lock", function()
	it("is a key of its own lease, which goes when it is unlocked", function()
		local lock = assert(client:lock(name))
		assert.are.equal(("%s/%x"):format(name, lock.lease), lock.key)
		assert.is_true(lock:held())
		local kv = assert(client:get(lock.key)).kvs[1]
		assert.are.same({ lock.lease, lock.revision, "" }, { kv.lease, kv.create_revision, kv.value })
		assert.are.equal(lock.revision, lock.header.revision)
		assert.are.equal(10, assert(client:ttl(lock.lease)).grantedTTL)
		assert.are.equal(("silly.store.etcd.lock: %s, %s"):format(lock.key, tostring(client)), tostring(lock))
		assert.are.same({ nil, "timeout" }, { (lock:wait(0)), (select(2, lock:wait(0))) })

		assert.is_true(lock:unlock())
		assert.is_false(lock:held())
		assert.are.same({}, queue())
		assert.are.equal(-1, assert(client:ttl(lock.lease)).TTL)
		assert.are.same({ code = "closed", message = "it was given up" }, lock:wait())
		assert.matches("%(not held%)$", tostring(lock))
		assert.is_true(lock:unlock())
		lock:close()
	end)

	it("is held by one after the other, in their order, with numbers that grow", function()
		silly.run(function()
			local first = assert(client:lock { name = name, value = "me", TTL = 20 })
			assert.are.equal("me", assert(client:get(first.key)).kvs[1].value)
			assert.are.equal(20, assert(client:ttl(first.lease)).grantedTTL)
			local order, all = {}, waitgroup.new()
			for i = 1, 5 do
				all:fork(function()
					local lock = assert(client:lock(name))
					order[#order + 1] = { i, lock.revision, lock:held() }
					time.sleep(5)
					assert(lock:unlock())
				end)
				queued(i + 1)
			end
			assert.are.same({}, order)
			assert(first:unlock())
			all:wait()
			local last = first.revision
			for i, held in ipairs(order) do
				assert.are.same({ i, true }, { held[1], held[3] })
				assert.is_true(held[2] > last)
				last = held[2]
			end
			assert.are.equal(5, #order)
			assert.are.same({}, queue())
		end)
	end)

	it("is waited for as long as is said, and leaves nothing behind then", function()
		local held <close> = assert(client:lock(name))
		local leases = #assert(client:leases()).leases
		for _, wait in ipairs { 0, 0.1 } do
			local lock, message, info = client:lock { name = name, wait = wait }
			assert.is_nil(lock)
			local text = ("lock: locked: held by %s since revision %d%s"):format(held.key, held.revision,
				wait > 0 and " (waited 0.1 s)" or "")
			assert.are.equal(text, message)
			assert.are.same({ "locked", "no", held.key, held.revision },
				{ info.code, info.applied, info.key, info.revision })
		end
		local _, message, info = client:lock { name = name, deadline = 0.1 }
		assert.are.equal("deadline_exceeded", info.code)
		assert.matches("^lock: deadline_exceeded: not held within 10%dms: held by ", message)
		silly.run(function()
			queued(1)
			repeat until #assert(client:leases()).leases <= leases or time.sleep(5)
		end)
		assert(held:unlock())
		assert(assert(client:lock { name = name, wait = 0 }):unlock())
	end)

	it("waits behind who is before it, not behind names that lie below its own", function()
		local inner = assert(client:lock(name .. "/7"))
		for i = 1, 20 do
			assert(client:put { key = ("%s/%d/x"):format(name, i), value = "" })
		end
		local lock = assert(client:lock { name = name, wait = 5 })
		assert(lock:unlock())
		lock = assert(client:lock { name = name, wait = 0 })
		assert.are.equal("locked", select(3, client:lock { name = name, wait = 0 }).code)
		assert(inner:unlock())
		assert(lock:unlock())
	end)

	it("is not entered twice by its own holder", function()
		local lock <close> = assert(client:lock(name))
		assert.are.equal("locked", select(3, client:lock { name = name, wait = 0.05 }).code)
		assert.is_true(lock:held())
	end)

	it("tells a loss at once: its key deleted, put by another, its lease revoked", function()
		for _, case in ipairs {
			{ "lost", "its key was deleted", function(lock) assert(client:delete(lock.key)) end },
			{ "lost", "its key was put by somebody else", function(lock)
				assert(client:put { key = lock.key, value = "x" })
			end },
			-- Whichever comes first tells it: its key is gone, or its lease.
			{ "lease_expired", "", function(lock)
				local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
				assert(other:revoke(lock.lease))
			end, "lost" },
		} do
			local lock = assert(client:lock { name = name, TTL = 3 })
			case[3](lock)
			local loss = assert(lock:wait(HANG))
			assert.is_truthy(loss.code == case[1] or loss.code == case[4], loss.code)
			assert.is_truthy(loss.message:find(case[2], 1, true), loss.message)
			assert.is_false(lock:held())
			local _, message, info = lock:put { key = name .. "x", value = "" }
			assert.are.same({ loss.code, "no" }, { info.code, info.applied }, message)
			assert(lock:unlock())
			assert.are.same({}, queue())
		end
		assert.are.same({}, assert(client:get(name .. "x")).kvs)
	end)

	it("tells one who waits that it has no place any more", function()
		silly.run(function()
			local held <close> = assert(client:lock(name))
			for _, case in ipairs {
				{ "lost", function(key) assert(client:delete(key)) end },
				{ "lease_expired", function(key)
					local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
					assert(other:revoke(assert(client:get(key)).kvs[1].lease))
				end, "lost" },
			} do
				local results = channel.new()
				task.fork(function()
					local _, message, info = client:lock { name = name, TTL = 3 }
					results:push { message, info.code }
				end)
				queued(2)
				case[2](queue()[2])
				local code = results:pop()[2]
				assert.is_truthy(code == case[1] or code == case[3], code)
			end
			assert.are.same({ held.key }, queue())
			assert.is_true(held:held())
		end)
	end)

	it("gives its place up when the coroutine that waits is closed", function()
		if _VERSION < "Lua 5.4" then
			return pending "coroutines can be closed from 5.4 on"
		end
		silly.run(function()
			local held = assert(client:lock(name))
			local co = task.fork(function()
				client:lock(name)
			end)
			queued(2)
			coroutine.close(co)
			queued(1)
			assert.are.same({ held.key }, queue())
			assert(held:unlock())
		end)
	end)

	it("lives until it is unlocked, though it is forgotten", function()
		local key = assert(client:lock { name = name, TTL = 2 }).key
		collectgarbage()
		collectgarbage()
		os.execute "sleep 3"
		assert.are.same({ key }, queue())
		assert(client:delete(key))
	end)

	it("is taken back where nobody gets it, since its caller has gone", function()
		if _VERSION < "Lua 5.4" then
			return pending "coroutines can be closed from 5.4 on"
		end
		silly.run(function()
			local held = assert(client:lock(name))
			local co = task.fork(function() client:lock(name) end)
			queued(2)
			-- Both at once: the place is taken, and nobody is there. The collector is not waited for.
			collectgarbage "stop"
			finally(function() collectgarbage "restart" end)
			held:close()
			os.execute "sleep 0.2"
			coroutine.close(co)
			queued(0)
		end)
	end)

	it("runs a function, and is unlocked whatever becomes of it", function()
		silly.run(function()
			local lock = assert(client:lock(name))
			local results = table.pack(lock:run(function(...) return select("#", ...), ... end, 1, nil, 3))
			assert.are.same({ 4, lock, 1, nil, 3, n = 5 }, results)
			assert.is_false(lock:held())

			lock = assert(client:lock(name))
			local problem = {}
			local ok, raised = pcall(lock.run, lock, function() error(problem) end)
			assert.is_false(ok)
			assert.are.equal(problem, raised)
			assert.are.same({}, queue())

			lock = assert(client:lock(name))
			local result, message, info = lock:run(function()
				assert(client:delete(lock.key))
				assert(lock:wait(HANG))
				return "done"
			end)
			assert.are.same({ nil, "lost", "maybe" }, { result, info.code, info.applied })
			assert.are.equal("lock.run: lost: its key was deleted", message)
			local ran = false
			result, message, info = lock:run(function() ran = true end)
			assert.are.same({ nil, "lost", "no", false }, { result, info.code, info.applied, ran }, message)
			message = select(2, lock:run(nil)) ---@diagnostic disable-line: param-type-mismatch
			assert.are.equal("lock.run: invalid_argument: the function must be a function, got a nil", message)
			-- Nothing runs without the lock.
			lock = assert(client:lock(name))
			assert(lock:unlock())
			assert.are.equal("closed", select(3, lock:run(function() ran = true end)).code)
			assert.is_false(ran)
			-- One that it has unlocked itself is not lost.
			lock = assert(client:lock(name))
			assert.are.equal("done", lock:run(function() lock:unlock() return "done" end))
		end)
	end)

	it("is unlocked when the coroutine that runs under it is closed", function()
		if _VERSION < "Lua 5.4" then
			return pending "coroutines can be closed from 5.4 on"
		end
		silly.run(function()
			local lock = assert(client:lock(name))
			local started = channel.new()
			local co = task.fork(function()
				lock:run(function()
					started:push(true)
					time.sleep(60000)
				end)
			end)
			started:pop()
			coroutine.close(co)
			assert.is_false(lock:held())
			queued(0)
		end)
	end)

	it("leaves no key behind, though that was taken off its lease", function()
		local lock = assert(client:lock(name))
		assert(client:put { key = lock.key, value = "note" })
		assert(lock:unlock())
		assert.are.same({}, queue())
		lock = assert(client:lock(name))
		assert(client:put { key = lock.key, value = "note" })
		assert.are.equal("lost", select(3, lock:put { key = name .. "x", value = "" }).code)
		assert(lock:unlock())
		assert.are.same({}, queue())
	end)

	it("leaves no key behind where it was given up while it was entered", function()
		local session = assert(client:session())
		for i = 1, 100 do
			local lock = client:lock { name = name, session = i % 2 == 0 and session or nil, deadline = 0.0002 * (i % 12 + 1) }
			if lock then
				lock:close()
			end
		end
		silly.run(function() queued(0) end)
		assert(assert(client:lock { name = name, wait = HANG }):unlock())
		assert(session:revoke())
	end)

	it("is found behind all that lies below its name, whatever is compacted meanwhile", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint } }
		for from = 1, 400, 100 do
			local puts = {}
			for i = from, from + 99 do
				puts[#puts + 1] = { put = { key = ("jobs/%d/x"):format(i), value = "" } }
			end
			-- They have one revision, and so does this, which is before all locks.
			puts[#puts + 1] = from == 1 and { put = { key = "jobs/first", value = "" } } or nil
			assert(own:txn { success = puts })
		end
		local _, _, info = own:lock { name = "jobs", wait = 0 }
		assert.are.same({ "locked", "jobs/first" }, { info.code, info.key })
		assert.are.equal("jobs/first", select(3, own:lock { name = "jobs", wait = 0.05 }).key)
		assert.are.equal("jobs/first", assert(own:leader "jobs").kv.key)
		assert(own:delete "jobs/first")
		local revision = assert(own:put { key = "x", value = "" }).header.revision
		assert(own:compact { revision = revision, physical = true })
		assert(assert(own:lock { name = "jobs", wait = HANG }):unlock())
		assert.is_nil(assert(own:leader "jobs").kv)
		node:kill()
	end)

	it("can be resumed under another lease, and the former life can do nothing then", function()
		local former = etcd.newclient { endpoints = { server.endpoint() } }
		local lock = assert(former:lock { name = name, value = "first" })
		local again = assert(client:lock { name = name, value = "second", resume = place(lock) })
		assert.are.same({ lock.key, lock.revision }, { again.key, again.revision })
		assert.are_not.equal(lock.lease, again.lease)
		local _, message, info = lock:put { key = name .. "x", value = "" }
		assert.are.same({ "lost", "no" }, { info.code, info.applied }, message)
		assert(again:put { key = name .. "x", value = "again" })
		assert.are.equal("lost", assert(lock:wait(HANG)).code)
		-- What the former life ends is its own.
		assert(lock:unlock())
		former:close()
		assert.are.same({ again.key }, queue())
		assert.are.equal("second", assert(client:get(again.key)).kvs[1].value)
		assert.is_true(again:held())
		assert(again:unlock())
		_, message, info = client:lock { name = name, resume = place(again) }
		assert.are.equal("lost", info.code, message)
		assert.are.same({}, queue())
	end)
end)

describe("what is written under a lock", function()
	it("is what the client would write, and return", function()
		local lock <close> = assert(client:lock(name))
		local key = name .. "x"
		local put = assert(lock:put { key = key, value = "1", prev_kv = true })
		assert.is_nil(put.prev_kv)
		put = assert(lock:put { key = key, value = "2", prev_kv = true })
		assert.are.equal("1", put.prev_kv.value)
		assert.are.equal(assert(client:get(key)).kvs[1].mod_revision, put.header.revision)
		local request = {
			compare = { { key = key, value = "2" } },
			success = { { put = { key = key, value = "3" } }, { get = key } },
			failure = { { get = key } },
		}
		local txn = assert(lock:txn(request))
		assert.are.same({ true, "3", 2 }, { txn.succeeded, txn.responses[2].get.kvs[1].value, #txn.responses })
		assert.is_true(txn.header.revision > put.header.revision)
		txn = assert(lock:txn(request))
		assert.are.same({ false, "3" }, { txn.succeeded, txn.responses[1].get.kvs[1].value })
		local deleted = assert(lock:delete { key = key, prev_kv = true })
		assert.are.same({ 1, "3" }, { deleted.deleted, deleted.prev_kvs[1].value })
		assert.is_number(deleted.header.revision)
		-- Its own comparisons count among the server's 128.
		for count, code in pairs { [126] = false, [127] = "invalid_argument" } do
			local puts = {}
			for i = 1, count do
				puts[i] = { put = { key = key .. i, value = "" } }
			end
			local _, _, info = lock:txn { success = puts }
			assert.are.equal(code, info and info.code or false)
		end
		-- A key on its lease goes with it.
		assert(lock:put { key = key, value = "4", lease = lock.lease })
		assert(lock:unlock())
		assert.are.same({}, assert(client:get(key)).kvs)
	end)

	it("is not written once it is not held, whoever has not heard of that yet", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint } }
		for _, write in ipairs {
			function(lock) return lock:put { key = "x", value = "late" } end,
			function(lock) return lock:delete "x" end,
			function(lock) return lock:txn { success = { { put = { key = "x", value = "late" } } } } end,
		} do
			local lock = assert(own:lock "jobs")
			assert(own:put { key = "x", value = "old" })
			-- In one step with the write, so that no watch can have told it.
			local status, output = server.sh(("env ETCDCTL_API=3 etcdctl --endpoints=%s del %s"):format(node.endpoint,
				server.namespace .. lock.key))
			assert.are.equal(0, status, output)
			local _, message, info = write(lock)
			assert.are.same({ "lost", "no" }, { info.code, info.applied }, message)
			assert.are.equal("old", assert(own:get "x").kvs[1].value)
			assert.is_false(lock:held())
		end
		node:kill()
	end)

	it("can be guarded by hand", function()
		local lock = assert(client:lock(name))
		local key = name .. "x"
		local function write()
			return assert(client:txn { compare = lock:compare(), success = { { put = { key = key, value = "" } } } })
		end
		assert.is_true(write().succeeded)
		assert(lock:unlock())
		assert.is_false(write().succeeded)
	end)

	it("is never the key of the lock itself", function()
		local lock <close> = assert(client:lock(name))
		for _, write in ipairs {
			{ "put", { key = lock.key, value = "" } }, { "delete", lock.key }, { "delete", { key = name, prefix = true } },
			{ "txn", { failure = { { txn = { success = { { put = { key = lock.key, value = "" } } } } } } } },
		} do
			local _, message, info = lock[write[1]](lock, write[2])
			assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied })
			assert.matches("the key of the holder itself must not be changed", message)
		end
		assert.is_true(lock:held())
	end)
end)

describe("locks that read and write", function()
	local function lock(mode, wait)
		return client:lock { name = name, mode = mode, wait = wait or 5 }
	end

	it("let readers in together, and a writer alone", function()
		local one, two = assert(lock "read"), assert(lock "read")
		assert.matches("/read/%x+$", one.key)
		assert.are.equal("locked", select(3, lock("write", 0)).code)
		assert.are.equal("locked", select(3, lock("write", 0.05)).code)
		assert(one:unlock())
		assert.are.equal("locked", select(3, lock("write", 0.05)).code)
		assert(two:unlock())
		local writer = assert(lock "write")
		assert.matches("/write/%x+$", writer.key)
		assert.are.equal("locked", select(3, lock("read", 0)).code)
		assert.are.equal("locked", select(3, lock("write", 0.05)).code)
		assert(writer:unlock())
		assert(assert(lock "read"):unlock())
	end)

	it("let no reader pass a writer that waits", function()
		silly.run(function()
			local reader = assert(lock "read")
			local order, all = {}, waitgroup.new()
			for i, mode in ipairs { "write", "read" } do
				all:fork(function()
					local held = assert(lock(mode, HANG))
					order[#order + 1] = mode
					assert(held:unlock())
				end)
				queued(i + 1)
			end
			assert.are.same({}, order)
			assert(reader:unlock())
			all:wait()
			assert.are.same({ "write", "read" }, order)
		end)
	end)

	it("are another way to use a name than a lock without a mode", function()
		local plain = assert(client:lock(name))
		for _, mode in ipairs { "read", "write" } do
			local _, message, info = lock(mode)
			assert.are.equal("failed_precondition", info.code, message)
		end
		assert(plain:unlock())
		local reader = assert(lock "read")
		assert.are.equal("failed_precondition", select(3, client:lock(name)).code)
		assert(reader:unlock())
		assert.are.same({}, queue())
	end)
end)

describe("a session", function()
	it("is a lease that its locks share, and that ends with it", function()
		local session = assert(client:session { TTL = 20 })
		assert.are.equal(20, session.TTL)
		assert.are.equal(20, assert(client:ttl(session.ID)).grantedTTL)
		assert.is_true(session:held())
		local one = assert(client:lock { name = name, session = session })
		local two = assert(client:lock { name = name .. "2", session = session })
		assert.are.same({ session.ID, session.ID }, { one.lease, two.lease })
		assert.matches(("^%s/%x%%-%s$"):format(name:gsub("%p", "%%%0"), session.ID, ("%x"):rep(16)), one.key)
		assert(one:unlock())
		assert.are.same({}, queue())
		assert.is_true(session:held() and two:held())
		assert.are.same({ nil, "timeout" }, { (session:wait(0)), (select(2, session:wait(0))) })
		assert(session:revoke())
		assert.is_false(session:held() or two:held())
		assert.are.same({ "closed", "closed" }, { session:wait().code, two:wait().code })
		assert.are.equal(-1, assert(client:ttl(session.ID)).TTL)
		assert.are.same({}, queue(name .. "2"))
		assert(session:revoke())
		local _, message, info = client:lock { name = name, session = session }
		assert.are.same({ "lock: closed: the session is closed", "closed" }, { message, info.code })
	end)

	it("lets two of its coroutines exclude each other, and ends those that wait", function()
		silly.run(function()
			local session = assert(client:session())
			assert.are.equal(10, session.TTL)
			local held = assert(client:lock { name = name, session = session })
			assert.are.equal("locked", select(3, client:lock { name = name, session = session, wait = 0.05 }).code)
			local results = channel.new()
			task.fork(function()
				results:push { select(2, client:lock { name = name, session = session }) }
			end)
			queued(2)
			session:close()
			assert.are.equal("lock: closed: the session is closed", results:pop()[1])
			assert.is_false(held:held())
			queued(0)
		end)
	end)

	it("says why it has ended", function()
		local session = assert(client:session { TTL = 3 })
		local lock = assert(client:lock { name = name, session = session })
		local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
		assert(other:revoke(session.ID))
		assert.are.equal("lease_expired", assert(session:wait(HANG)).code)
		local code = assert(lock:wait(HANG)).code
		assert.is_truthy(code == "lease_expired" or code == "lost", code)
		assert.is_false(session:held() or lock:held())
		assert.are.equal("lease_expired", select(3, session:orphan()).code)
	end)

	it("can be left to another process, with all that is on it", function()
		local other <close> = etcd.newclient { endpoints = { server.endpoint() } }
		local session = assert(client:session())
		local lock = assert(client:lock { name = name, session = session })
		local id = assert(session:orphan())
		assert.are.equal(session.ID, id)
		assert.is_false(session:held() or lock:held())
		assert.are.equal("closed", lock:wait().code)
		local heir = assert(other:session { ID = id })
		assert.are.same({ id, 10 }, { heir.ID, heir.TTL })
		assert.are.same({ lock.key }, queue())
		-- To another lease: on the same one the former life could go on writing.
		local _, message, info = other:lock { name = name, session = heir, resume = place(lock) }
		assert.are.equal("invalid_argument", info.code, message)
		local again = assert(other:lock { name = name, resume = place(lock) })
		assert.are.same({ lock.key, lock.revision }, { again.key, again.revision })
		assert(heir:revoke())
		assert.are.same({ again.key }, queue())
		assert(again:unlock())
		assert.are.same({}, queue())
		assert.are.equal("not_found", select(3, other:session { ID = id }).code)
	end)

	it("is nothing but what client:session has returned", function()
		local stranger = assert(client:session())
		for _, case in ipairs {
			{ { session = 1 }, "session" }, { { session = {} }, "session" },
			{ { session = { native = client.native } }, "session" }, { { session = stranger, TTL = 5 }, "TTL" },
			{ { TTL = 0 }, "TTL" }, { { name = "" }, "name" }, { { resume = {} }, "resume.key" },
			{ { resume = { key = "a", revision = 1, lease = 2 }, mode = "read" }, "resume" }, { { mode = "x" }, "mode" },
			{ { endpoint = server.endpoint() }, "endpoint" },
			-- None of them is a place in this queue.
			{ { resume = { key = name .. "/b/1", revision = 1, lease = 2 } } }, { { resume = { key = name .. "/", revision = 1,
				lease = 2 } } }, { { resume = { key = "x/1", revision = 1, lease = 2 } } },
			{ { resume = { key = name .. "/1", revision = 0, lease = 2 } } },
			{ { resume = { key = name .. "/1", revision = 1, lease = 0 } } },
		} do
			case[1].name = case[1].name or name
			local _, message, info = client:lock(case[1])
			assert.are.same({ "invalid_argument", case[2] }, { info.code, info.field }, message)
		end
		for _, case in ipairs { { { TTL = 0 }, "TTL" }, { { ID = 0 }, "ID" }, { { ID = 1, TTL = 1 }, "TTL" } } do
			local _, message, info = client:session(case[1])
			assert.are.same({ "invalid_argument", case[2] }, { info.code, info.field }, message)
		end
		stranger:close()
	end)
end)

describe("under faults", function()
	it("the next holds when a holder's process was killed", function()
		local pipe, signal = process [[
			local lock = assert(client:lock { name = name, TTL = 2 })
			say(lock.revision)
			lock:wait()
		]]
		local revision = tonumber(pipe:read "*l")
		signal "KILL"
		local lock = assert(client:lock { name = name, wait = HANG })
		assert.is_true(lock.revision > revision)
		assert(lock:unlock())
	end)

	it("a holder that was stopped for longer than its TTL knows it before it writes", function()
		local pipe, signal = process [[
			local lock = assert(client:lock { name = name, TTL = 2 })
			say(lock.revision)
			local began = os.time()
			repeat until os.time() > began + 3
			say(tostring(lock:held()))
			local _, message, info = lock:put { key = name .. "x", value = "late" }
			say(info.code, info.applied)
		]]
		local revision = tonumber(pipe:read "*l")
		signal "STOP"
		local lock = assert(client:lock { name = name, wait = HANG })
		assert.is_true(lock.revision > revision)
		assert(lock:put { key = name .. "x", value = "next" })
		signal "CONT"
		assert.are.equal("false", pipe:read "*l")
		assert.matches("^%w+_?%w* no$", pipe:read "*l")
		assert.are.equal("next", assert(client:get(name .. "x")).kvs[1].value)
		assert.is_true(lock:held())
		assert(lock:unlock())
	end)

	-- Each counts under the lock, and is stopped for longer than the TTL between reading and writing.
	local COUNT = [[
		local write = %s
		for _ = 1, %d do
			-- One that was stopped while it waited has lost its place.
			local lock
			repeat lock = client:lock { name = name, TTL = 2 } until lock
			local kv = client:get(name .. "n").kvs[1]
			local count = kv and tonumber(kv.value) or 0
			say("read", tostring(count))
			local began = os.clock()
			repeat until os.clock() > began + 0.05
			local done = write(lock, { key = name .. "n", value = tostring(count + 1) })
			say(done and "wrote" or "refused")
			lock:unlock()
		end
		say "end"
	]]
	local GUARDED = "function(lock, put) return lock:put(put) end"

	it("a write without a guard loses what the next holder wrote, one with it does not", function()
		for _, case in ipairs { { "function(_, put) return client:put(put) end", "wrote", "1" },
			{ GUARDED, "refused", "next" } } do
			assert(client:delete(name .. "n"))
			local pipe, signal = process(COUNT:format(case[1], 1))
			assert.are.equal("read 0", pipe:read "*l")
			signal "STOP"
			local lock = assert(client:lock { name = name, wait = HANG })
			assert(lock:put { key = name .. "n", value = "next" })
			signal "CONT"
			assert.are.equal(case[2], pipe:read "*l")
			assert.are.equal(case[3], assert(client:get(name .. "n")).kvs[1].value)
			assert.is_true(lock:held())
			assert(lock:unlock())
			assert.are.equal("end", pipe:read "*l")
		end
	end)

	it("three processes that are stopped at random lose no update", function()
		local pipes, signals, wrote = {}, {}, 0
		for i = 1, 3 do
			pipes[i], signals[i] = process(COUNT:format(GUARDED, 10))
		end
		for _ = 1, 2 do
			local stopped = signals[math.random(3)]
			stopped "STOP"
			os.execute "sleep 3"
			stopped "CONT"
		end
		for _, pipe in ipairs(pipes) do
			local line
			repeat
				line = assert(pipe:read "*l")
				wrote = wrote + (line == "wrote" and 1 or 0)
			until line == "end"
		end
		assert.are.equal(tostring(wrote), assert(client:get(name .. "n")).kvs[1].value)
		assert.is_true(wrote > 0)
	end)

	it("those who wait and hold survive a restart of the server, and compactions", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
		silly.run(function()
			local held = assert(own:lock { name = "jobs", TTL = 20 })
			local done, all = 0, waitgroup.new()
			for _ = 1, 3 do
				all:fork(function()
					local lock = assert(own:lock { name = "jobs", TTL = 20 })
					done = done + 1
					assert(lock:unlock())
				end)
			end
			local function count() return assert(own:get { key = "jobs/", prefix = true, count_only = true }).count end
			repeat until count() == 4 or time.sleep(5)
			node:kill()
			node:start()
			for i = 1, 20 do
				local revision = assert(own:put { key = "x", value = tostring(i) }).header.revision
				assert(own:compact { revision = revision, physical = true })
				time.sleep(10)
			end
			assert.is_true(held:held())
			assert(held:put { key = "x", value = "" })
			assert(held:unlock())
			all:wait()
			assert.are.same({ 3, 0 }, { done, count() })
		end)
		node:kill()
	end)

	it("a lock is lost where the store was put back to before it", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50 }
		assert(own:put { key = "x", value = "" })
		local backup = node:backup()
		local lock = assert(own:lock { name = "jobs", TTL = 60 })
		node:kill()
		node:restore(backup)
		node:start()
		local loss = assert(lock:wait(HANG))
		assert.is_truthy(loss.code == "lost" or loss.code == "lease_expired", loss.code)
		assert.is_false(lock:held())
		node:kill()
	end)

	it("etcdctl and this client stand in one queue", function()
		local ctl = ("exec env ETCDCTL_API=3 timeout 60 etcdctl --endpoints=%s lock %s"):format(server.endpoint(),
			server.namespace .. name)
		local pipe = assert(io.popen(ctl))
		local theirs = assert(pipe:read "*l")
		local _, _, info = client:lock { name = name, wait = 0 }
		assert.are.same({ "locked", theirs }, { info.code, server.namespace .. info.key })
		silly.run(function()
			local results = channel.new()
			task.fork(function() results:push(assert(client:lock(name))) end)
			queued(2)
			server.sh("pkill -INT -f 'etcdctl --endpoints=" .. server.endpoint() .. " lock " .. server.namespace .. name .. "'")
			pipe:close()
			local lock = results:pop()
			pipe = assert(io.popen(ctl))
			queued(2)
			assert(lock:unlock())
			assert.are.equal(queue()[1], (pipe:read "*l"):sub(#server.namespace + 1))
			server.sh("pkill -INT -f 'etcdctl --endpoints=" .. server.endpoint() .. " lock " .. server.namespace .. name .. "'")
			pipe:close()
		end)
	end)
end)
