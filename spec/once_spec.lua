-- Writes with `once`: a session's marker tells whether they have happened. In: the etcd that all share, and one that is
-- paused. Out: responses as without it, and no "maybe". That no copy that comes late does anything is the matter of
-- tests/call/once.rs.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local client, prefix, session

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	prefix = server.prefix()
	session = assert(client:session { marker = prefix .. "marker/" })
end)

after_each(function()
	session:close()
end)

describe("a write with `once`", function()
	it("responds as it does without", function()
		local key = prefix .. "k"
		local put = assert(client:put { key = key, value = "1", prev_kv = true, once = session })
		assert.is_nil(put.prev_kv)
		put = assert(client:put { key = key, value = "2", prev_kv = true, once = session })
		local kv = assert(client:get(key)).kvs[1]
		assert.are.same({ "1", kv.mod_revision }, { put.prev_kv.value, put.header.revision })
		local request = {
			compare = { { key = key, value = "2" } }, once = session,
			success = { { put = { key = key, value = "3" } }, { get = key } }, failure = { { get = key } },
		}
		local txn = assert(client:txn(request))
		assert.are.same({ true, 2, "3" }, { txn.succeeded, #txn.responses, txn.responses[2].get.kvs[1].value })
		txn = assert(client:txn(request))
		assert.are.same({ false, 1, "3" }, { txn.succeeded, #txn.responses, txn.responses[1].get.kvs[1].value })
		local swap = assert(client:swap { key = key, mod_revision = 1, value = "4", once = session })
		assert.are.same({ false, "3" }, { swap.succeeded, swap.kv.value })
		assert.are.equal(1, assert(client:increment { key = prefix .. "n", once = session }).value)
		local deleted = assert(client:delete { key = key, prev_kv = true, once = session })
		assert.are.same({ 1, "3" }, { deleted.deleted, deleted.prev_kvs[1].value })
		-- Its marker is one key, on its lease.
		local markers = assert(client:get { key = prefix .. "marker/", prefix = true }).kvs
		assert.are.same({ 1, session.ID }, { #markers, markers[1].lease })
		assert.matches(("%x%%-%s$"):format(session.ID, ("%x"):rep(16)), markers[1].key)
		assert(session:revoke())
		assert.are.equal(0, assert(client:get { key = prefix .. "marker/", prefix = true }).count)
		local _, _, info = client:put { key = key, value = "5", once = session }
		assert.are.same({ "closed", "no" }, { info.code, info.applied })
	end)

	it("goes together with a lock", function()
		local lock = assert(client:lock { name = prefix .. "lock", session = session })
		assert(lock:put { key = prefix .. "k", value = "1", once = session })
		assert.is_true(assert(lock:txn {
			success = { { get = prefix .. "k" }, { put = { key = prefix .. "k", value = "2" } } }, once = session,
		}).succeeded)
		assert(client:delete(lock.key))
		local _, message, info = lock:put { key = prefix .. "k", value = "3", once = session }
		assert.are.same({ "lost", "no" }, { info.code, info.applied }, message)
		assert.are.equal("2", assert(client:get(prefix .. "k")).kvs[1].value)
	end)

	it("is made once though it is sent again and again", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, timeout = 0.1, retry = 50, retry_sleep = 10 }
		local marked = assert(own:session { marker = "markers/", TTL = 60, timeout = 5 })
		assert(own:put { key = "first", value = "", once = marked, timeout = 5 })
		for i = 1, 5 do
			node:pause()
			os.execute(("(sleep 0.4; kill -CONT $(cat %s/pid)) >/dev/null 2>&1 &"):format(node.dir))
			local response, message = own:put { key = "k", value = tostring(i), once = marked }
			assert(response, message)
			assert.are.equal(i, assert(own:get { key = "k", timeout = 5 }).kvs[1].version)
		end
		marked:close()
		node:kill()
	end)

	it("says no where it was given up before it came", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint } }
		local marked = assert(own:session { marker = "markers/", TTL = 60 })
		assert(own:put { key = "k", value = "1", once = marked })
		node:pause()
		os.execute(("(sleep 0.5; kill -CONT $(cat %s/pid)) >/dev/null 2>&1 &"):format(node.dir))
		local response, message, info = own:put { key = "k", value = "2", once = marked, timeout = 0.3, retry = 0 }
		local kv = assert(own:get "k").kvs[1]
		if response then
			assert.are.equal("2", kv.value)
		else
			assert.are.same({ "no", "1" }, { info.applied, kv.value }, message)
		end
		marked:close()
		node:kill()
	end)

	it("needs a session with a marker, and leaves the marker alone", function()
		local bare = assert(client:session())
		local _, message, info = client:put { key = prefix, value = "", once = bare }
		assert.are.same({ "invalid_argument", "once" }, { info.code, info.field })
		assert.are.equal("put: field 'once' must be a session that was made with a 'marker'", message)
		bare:close()
		for _, write in ipairs {
			function() return client:delete { key = prefix, prefix = true, once = session } end,
			function()
				return client:txn { success = { { delete = { key = prefix .. "m", fromkey = true } } }, once = session }
			end,
		} do
			_, message, info = write()
			assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied }, message)
		end
		_, message, info = client:get { key = prefix, once = session }
		assert.are.equal("once", info.field, message)
	end)
end)
