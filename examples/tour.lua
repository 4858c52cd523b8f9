-- A tour of silly.store.etcd: each group of its calls as one step, a heading and what came of it.
-- In: a server, $ETCD_ENDPOINTS or 127.0.0.1:2379; `make run` starts one. Out: the steps on stdout, and the exit
-- status: 0, or 1 when a step did not come to what it must. All keys are below one prefix, which is deleted in the end.
-- The last step compacts the server's history up to the first step: take a server of your own.

---@diagnostic disable: await-in-sync -- the main chunk is a task too

local silly = require "silly"
local etcd = require "silly.store.etcd"
local json = require "silly.encoding.json"
local task = require "silly.task"
local time = require "silly.time"
local channel = require "silly.sync.channel"
local waitgroup = require "silly.sync.waitgroup"

local endpoints = {}
for endpoint in (os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379"):gmatch "[^,%s]+" do
	endpoints[#endpoints + 1] = endpoint
end

local client = etcd.newclient { endpoints = endpoints, retry = 2, retry_sleep = 200 }
local root = ("tour/%x/"):format(time.now())

local function finish(problem)
	local cleaned, message = client:delete { key = root, prefix = true }
	client:close()
	if problem or not cleaned then
		io.stderr:write("The tour ends here: ", problem or message, "\n")
		silly.exit(1)
	end
end

local function step(heading, run)
	print(heading)
	local ok, result = silly.pcall(run)
	if not ok then
		finish(result)
	end
	print("    " .. result)
end

local function value(key)
	local kv = assert(client:get { key = root .. key }).kvs[1]
	return kv and kv.value
end

local first ---@type integer the revision of the first put

step("Put a key and get it", function()
	local key = root .. "config"
	first = assert(client:put { key = key, value = json.encode { port = 8080 } }).header.revision
	local kv = assert(client:get { key = key }).kvs[1]
	assert(kv and json.decode(kv.value).port == 8080)
	return ("%s = %s, version %d, revision %d"):format(kv.key, kv.value, kv.version, kv.mod_revision)
end)

step("Get a prefix, the largest values first", function()
	local prefix = root .. "fruit/"
	for name, grams in pairs { apple = "150", melon = "900", peach = "175" } do
		assert(client:put { key = prefix .. name, value = grams })
	end
	local request = { key = prefix, prefix = true, sort_target = "VALUE", sort_order = "DESCEND", limit = 2 }
	local found = assert(client:get(request))
	local melon, peach = found.kvs[1], found.kvs[2]
	assert(melon and melon.value == "900" and peach and peach.value == "175" and not found.kvs[3] and found.more)
	return ("%s %s, %s %s, and %d more"):format(melon.key, melon.value, peach.key, peach.value, found.count - 2)
end)

step("Get what was there before", function()
	local key = root .. "config"
	local put = assert(client:put { key = key, value = "{}", prev_kv = true })
	local old, prev = assert(client:get { key = key, revision = first }).kvs[1], put.prev_kv
	assert(value "config" == "{}" and old and prev and old.value == prev.value)
	return ("%s at revision %d, %s now"):format(old.value, first, value "config")
end)

step("Delete a prefix", function()
	local gone = assert(client:delete { key = root .. "fruit/", prefix = true, prev_kv = true })
	local last = gone.prev_kvs[3]
	assert(gone.deleted == 3 and last and last.value == "175")
	return gone.deleted .. " keys, the last was " .. last.key
end)

step("Compare and set: the first of two takes the key", function()
	local key = root .. "owner"
	local function take(name)
		local response = assert(client:txn {
			compare = { { key = key, target = "VERSION", result = "EQUAL", version = 0 } },
			success = { { put = { key = key, value = name } } },
			failure = { { get = { key = key } } },
		})
		if response.succeeded then
			return name
		end
		local found = assert(assert(response.responses[1]).get)
		return assert(found.kvs[1]).value
	end
	local ann, bob = take "Ann", take "Bob"
	assert(ann == "Ann" and bob == "Ann")
	return "Bob is told that " .. bob .. " has it"
end)

step("Lease two keys for 2 seconds, and renew one lease", function()
	local kept, left = assert(client:grant { TTL = 2 }), assert(client:grant { TTL = 2, keepalive = false })
	assert(client:put { key = root .. "kept", value = "here", lease = kept.ID })
	local put = assert(client:put { key = root .. "left", value = "here", lease = left.ID })
	local stream = assert(client:watch { key = root .. "left", revision = put.header.revision + 1 })
	local event = assert(stream:read()).events[1]
	assert(event and event.type == "DELETE")
	stream:close()
	assert(value "kept" == "here")
	assert(client:revoke { ID = kept.ID })
	assert(value "kept" == nil)
	return "one key expired, the other lived until its lease was revoked"
end)

step("Renew a lease by hand", function()
	local lease = assert(client:grant { TTL = 60, keepalive = false })
	local stream = assert(client:keepalive { ID = lease.ID })
	assert(stream:write())
	local left = assert(client:ttl { ID = lease.ID })
	assert(assert(stream:read()).TTL == 60 and left.grantedTTL == 60)
	stream:close()
	assert(client:revoke { ID = lease.ID })
	return ("%d of %d seconds are left"):format(left.TTL, left.grantedTTL)
end)

step("Watch a key, live and from the past", function()
	local key, seen = root .. "light", channel.new()
	local live = assert(client:watch { key = key, prev_kv = true })
	task.fork(function()
		local response = live:read()
		while response do
			for _, event in ipairs(response.events) do
				seen:push((event.prev_kv and event.prev_kv.value or "dark") .. " to " .. event.kv.value)
			end
			response = live:read()
		end
	end)
	assert(client:put { key = key, value = "red" })
	assert(client:put { key = key, value = "green" })
	local changes = seen:pop() .. ", " .. seen:pop()
	live:close()
	local past = assert(client:watch { key = key, revision = first })
	local event = assert(past:read()).events[1]
	past:close()
	assert(changes == "dark to red, red to green" and event and event.kv.value == "red")
	return changes .. "; the replay begins with " .. event.kv.value
end)

step("Put a hundred keys at once", function()
	local group = waitgroup.new()
	for i = 1, 100 do
		group:fork(function() assert(client:put { key = root .. "many/" .. i, value = "" }) end)
	end
	group:wait()
	local found = assert(client:get { key = root .. "many/", prefix = true, count_only = true })
	assert(found.count == 100)
	return found.count .. " keys are there"
end)

step("Fail: errors are values", function()
	local gone, message, info = client:delete { key = root, prefx = true }
	assert(not gone and info.code == "invalid_argument" and info.applied == "no")
	local put, reason, why = client:put { key = root, value = "", lease = 1 }
	assert(not put and why.code == "not_found")
	return message .. "\n    " .. reason
end)

step("Compact: forget the history", function()
	assert(client:compact { revision = first + 1 })
	local old, message, info = client:get { key = root .. "config", revision = first }
	assert(not old and info.code == "compacted")
	return message
end)

finish()
