-- Every call of a client, and what it answers.

local function keys(kvs)
	local list = {}
	for i, kv in ipairs(kvs) do
		list[i] = kv.key:match "[^/]*$"
	end
	return table.concat(list, " ")
end

return {
	{ name = "put, get and delete keep every byte", run = function(t, client)
		local bytes = {}
		for byte = 0, 255 do
			bytes[#bytes + 1] = string.char(byte)
		end
		local all = table.concat(bytes)
		local key, value = t.prefix .. all, all:rep(1000)
		assert(client:put { key = key, value = value })
		local answer = assert(client:get { key = key })
		t.equal(1, #answer.kvs)
		t.equal(key, answer.kvs[1].key)
		t.equal(value, answer.kvs[1].value)
		t.equal(1, assert(client:delete { key = key }).deleted)
		t.equal({}, assert(client:get { key = key }).kvs)
		assert(client:put { key = t.prefix .. "\0", value = "" })
		t.equal("", assert(client:get { key = t.prefix .. "\0" }).kvs[1].value)
	end },

	{ name = "what needs one field takes that alone", run = function(t, client)
		local key = t.prefix .. "k"
		local stream = assert(client:watch(key))
		assert(client:put { key = key, value = "v" })
		t.equal("v", assert(stream:read(30)).events[1].kv.value)
		stream:close()
		t.equal("v", assert(client:get(key)).kvs[1].value)
		t.equal(1, assert(client:delete(key)).deleted)
		local lease = assert(client:grant(60)).ID
		t.equal(60, assert(client:ttl(lease)).grantedTTL)
		assert(client:revoke(lease))
	end },

	{ name = "get takes prefixes, ranges, limits, orders and revisions", run = function(t, client)
		local first
		for i, name in ipairs { "a", "b", "c", "d" } do
			local put = assert(client:put { key = t.prefix .. name, value = tostring(10 - i) })
			first = first or put.header.revision
		end
		local function get(req)
			req.key = t.prefix .. (req.key or "")
			return assert(client:get(req))
		end
		local some = get { prefix = true, limit = 2 }
		t.equal({ "a b", 4, true }, { keys(some.kvs), some.count, some.more })
		t.equal("b c", keys(get({ key = "b", range_end = t.prefix .. "d" }).kvs))
		t.equal("c d", keys(get({ key = "c", fromkey = true, limit = 2 }).kvs))
		t.equal("d c b a", keys(get({ prefix = true, sort_target = "VALUE", sort_order = "ASCEND" }).kvs))
		t.equal("a", keys(get({ prefix = true, revision = first }).kvs))
		t.equal("", get({ prefix = true, keys_only = true }).kvs[4].value)
		local count = get { prefix = true, count_only = true, serializable = true }
		t.equal({ 4, {} }, { count.count, count.kvs })
		local kv = get({ key = "b" }).kvs[1]
		t.equal({ 1, first + 1, first + 1 }, { kv.version, kv.create_revision, kv.mod_revision })
	end },

	{ name = "put and delete answer what was there before", run = function(t, client)
		t.equal(nil, assert(client:put { key = t.prefix .. "a", value = "1", prev_kv = true }).prev_kv)
		t.equal("1", assert(client:put { key = t.prefix .. "a", value = "2", prev_kv = true }).prev_kv.value)
		assert(client:put { key = t.prefix .. "b", value = "3" })
		local gone = assert(client:delete { key = t.prefix, prefix = true, prev_kv = true })
		t.equal({ 2, "2", "3" }, { gone.deleted, gone.prev_kvs[1].value, gone.prev_kvs[2].value })
		t.equal(0, assert(client:delete { key = t.prefix, prefix = true }).deleted)
	end },

	{ name = "txn compares and runs one of two lists", run = function(t, client)
		local key = t.prefix .. "owner"
		local request = {
			compare = { { key = key, target = "VERSION", result = "EQUAL", version = 0 } },
			success = { { put = { key = key, value = "first" } }, { get = { key = key } } },
			failure = { { get = { key = key } }, { delete = { key = key } } },
		}
		local won = assert(client:txn(request))
		t.equal({ true, 2, "first" }, { won.succeeded, #won.responses, won.responses[2].get.kvs[1].value })
		local lost = assert(client:txn(request))
		t.equal({ false, "first", 1 },
			{ lost.succeeded, lost.responses[1].get.kvs[1].value, lost.responses[2].delete.deleted })
	end },

	{ name = "compact forgets the history", run = function(t, client)
		local old = assert(client:put { key = t.prefix, value = "old" }).header.revision
		local new = assert(client:put { key = t.prefix, value = "new" }).header.revision
		t.equal("old", assert(client:get { key = t.prefix, revision = old }).kvs[1].value)
		assert(client:compact { revision = new })
		t.fails("compacted", client:get { key = t.prefix, revision = old })
		t.equal("new", assert(client:get { key = t.prefix, revision = new }).kvs[1].value)
	end },

	{ name = "every answer has a header", run = function(t, client)
		local put = assert(client:put { key = t.prefix, value = "" }).header
		local get = assert(client:get { key = t.prefix }).header
		t.equal(put.cluster_id, get.cluster_id)
		t.equal(put.member_id, get.member_id)
		t.equal("number", type(get.revision))
		assert(get.revision >= put.revision)
	end },

	{ name = "requests are left as they are", run = function(t, client)
		local request = { key = t.prefix, value = "1", prev_kv = true }
		assert(client:put(request))
		assert(client:put(request))
		t.equal({ key = t.prefix, value = "1", prev_kv = true }, request)
	end },

	{ name = "swap and increment change what is as it was", run = function(t, client)
		local key = t.prefix .. "n"
		t.equal(5, assert(client:increment { key = key, by = 5 }).value)
		t.equal(6, assert(client:increment(key)).value)
		local seen = assert(client:get(key)).kvs[1]
		t.equal(false, assert(client:swap { key = key, mod_revision = seen.create_revision, value = "" }).succeeded)
		t.equal(true, assert(client:swap { key = key, mod_revision = seen.mod_revision, delete = true }).succeeded)
		t.equal({}, assert(client:get(key)).kvs)
	end },

	{ name = "a number beyond 2^53 is exact", run = function(t, client)
		local key = t.prefix .. "n"
		assert(client:put { key = key, value = "9007199254740992" })
		t.equal("9007199254740993", tostring(assert(client:increment(key)).value))
	end },

	{ name = "services are parts of the client", run = function(t, client)
		local status = assert(client.maintenance:status())
		local member = assert(client.cluster:members()).members[1]
		t.equal(status.header.member_id, member.ID)
		local one = assert(client.maintenance:status { endpoint = member.clientURLs[1] })
		t.equal(status.header.member_id, one.header.member_id)
		local name = t.prefix:gsub("%W", "")
		assert(client.auth:useradd { name = name, password = "p" })
		t.equal({}, assert(client.auth:userget(name)).roles)
		assert(client.auth:userdelete(name))
		t.fails("failed_precondition", client.auth:userget(name))
		t.equal(false, (pcall(client.auth.userlist, client)))
	end },

	{ name = "a deadline ends a call", run = function(t)
		local nobody = t.client { endpoints = { "127.0.0.1:1" }, retry = 1000000, retry_sleep = 10 }
		t.fails("deadline_exceeded", nobody:get { key = "k", deadline = 0.1 })
		nobody:close()
	end },

	{ name = "a scan reads page after page", run = function(t, client)
		for i = 1, 25 do
			assert(client:put { key = t.prefix .. i, value = tostring(i) })
		end
		local scan = assert(client:scan { key = t.prefix, prefix = true, page = 10 })
		t.equal(25, scan.count)
		local sum = 0
		while true do
			local page, message = scan:read()
			if not page then
				t.equal(nil, message)
				break
			end
			for _, kv in ipairs(page.kvs) do
				sum = sum + tonumber(kv.value)
			end
		end
		t.equal(325, sum)
	end },

	{ name = "a cache follows, and its changes too", run = function(t, client)
		local key = t.prefix .. "a"
		assert(client:put { key = key, value = "1" })
		local copy = assert(client:cache { key = t.prefix, prefix = true, decode = tonumber })
		t.equal(1, copy:value(key))
		local changes = assert(copy:changes())
		local revision = assert(client:put { key = key, value = "2" }).header.revision
		t.equal("2", assert(copy:get { key = key, min_revision = revision }).kvs[1].value)
		t.equal(2, copy:value(key))
		local response = assert(changes:read())
		t.equal("1", response.events[1].prev_kv.value)
		for kv in copy:kvs() do
			t.equal(key, kv.key)
		end
		copy:close()
		changes:close()
	end },

	{ name = "an entry is registered and discovered", run = function(t, client)
		local name = t.prefix .. "service"
		local service = assert(client:discover(name))
		local changes = assert(service:changes())
		local entry = assert(client:register { name = name, addr = "10.0.0.1:80", metadata = { weight = 3 } })
		t.equal("10.0.0.1:80", assert(changes:read()).addr)
		t.equal(3, service:pick().metadata.weight)
		assert(entry:update { metadata = { weight = 4 } })
		t.equal(4, assert(changes:read()).metadata.weight)
		t.equal(true, entry:held())
		entry:close()
		t.equal("DELETE", assert(changes:read()).type)
		t.equal(0, #service:list())
		service:close()
		changes:close()
	end },

	{ name = "a lock is held by one, and guards what is written", run = function(t, client)
		local name = t.prefix .. "lock"
		local lock = assert(client:lock(name))
		t.equal(true, lock:held())
		t.fails("locked", client:lock { name = name, wait = 0 })
		assert(lock:put { key = t.prefix .. "x", value = "1" })
		local other = t.client()
		assert(other:delete(lock.key))
		t.fails("lost", lock:put { key = t.prefix .. "x", value = "2" })
		t.equal("1", assert(client:get(t.prefix .. "x")).kvs[1].value)
		t.equal("lost", assert(lock:wait(60)).code)
		t.equal(2, assert(client:lock(name)):run(function() return 2 end))
		local session = assert(client:session())
		lock = assert(other:lock(name))
		t.fails("locked", client:lock { name = name, session = session, wait = 0.05 })
		t.equal(true, lock:unlock())
		t.equal(true, session:revoke())
		t.equal("closed", session:wait().code)
		other:close()
	end },

	{ name = "a lock goes from coroutine to coroutine", skip = function(host)
		return not host.fork and "calls block here"
	end, run = function(t, client)
		local name, held, functions = t.prefix .. "turns", 0, {}
		for i = 1, 5 do
			functions[i] = function()
				local lock = assert(client:lock(name))
				held = held + 1
				t.equal(1, held)
				assert(client:get(name))
				held = held - 1
				lock:unlock()
			end
		end
		t.together(functions)
	end },

	{ name = "a function is a transaction", run = function(t, client)
		local key = t.prefix .. "n"
		assert(client:put { key = key, value = "1" })
		local runs = 0
		local response = assert(client:stm(function(tx)
			runs = runs + 1
			local n = tonumber(tx:get(key))
			if runs == 1 then
				assert(client:put { key = key, value = "10" })
			end
			tx:put(key, tostring(n + 1))
			return n + 1
		end))
		t.equal({ 11, 2 }, { response.result, response.tries })
		t.equal("11", assert(client:get(key)).kvs[1].value)
		t.fails("cancelled", client:stm(function() return nil, "no" end))
	end },

	{ name = "an election has one leader, who is observed", run = function(t, client)
		local name = t.prefix .. "election"
		local observer = assert(client:observe(name))
		t.equal(nil, assert(observer:read()).kv)
		local leader = assert(client:campaign { name = name, value = "one" })
		t.equal("one", assert(observer:read(60)).kv.value)
		assert(leader:proclaim "two")
		t.equal("two", assert(observer:read(60)).kv.value)
		t.equal(leader.key, assert(client:leader(name)).kv.key)
		t.equal(true, leader:resign())
		t.equal(nil, assert(observer:read(60)).kv)
		observer:close()
	end },

	-- On the newest versions and LuaJIT, so on every host: it takes its time, and the version makes no difference.
	{ name = "what is kept is kept while Lua computes", skip = function()
		return _VERSION < "Lua 5.4" and not rawget(_G, "jit") and "it is run on other versions"
	end, run = function(t, client)
		local name = t.prefix .. "busy"
		local entry = assert(client:register { name = name, addr = "10.0.0.1:80", TTL = 2 })
		local copy = assert(client:cache { key = name, prefix = true })
		local lock = assert(client:lock { name = name .. "/lock", TTL = 2 })
		assert(entry:update { addr = "10.0.0.2:80", wait = 0 })
		local busy = os.clock() + 4
		repeat until os.clock() > busy
		t.equal({ true, 0, true }, { entry:held(), entry:status().losses, lock:held() })
		lock:unlock()
		local value = copy:value(entry.key)
		assert(value:find("10.0.0.2:80", 1, true), value)
		entry:close()
		copy:close()
	end },

	{ name = "a snapshot runs its functions in the caller, and is given up by an error", run = function(t, client)
		local bytes, last = 0, 0
		local copied = assert(client.maintenance:snapshot {
			chunk = function(piece) bytes = bytes + #piece end,
			progress = function(done) last = done end,
		})
		t.equal({ copied.bytes, copied.bytes }, { bytes, last })
		local ok, problem = t.etcd.pcall(function()
			return client.maintenance:snapshot { chunk = function() error("enough", 0) end }
		end)
		t.equal({ false, "enough" }, { ok, problem })
		t.equal({}, assert(client:get(t.prefix .. "x")).kvs)
	end },
}
