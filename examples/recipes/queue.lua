-- A queue of work. Each item is done at least once, by one consumer at a time.
-- In: a client, a session of it that was made with a `marker`, and the name of the queue. Out: items, by priority, then
-- in the order in which they were pushed, by the producers' clocks. What a consumer has taken is its own until it is
-- done or given back, or its session ends: then it is there again. So a consumer that dies in the middle of an item
-- loses nothing. One whose call fails with `applied = "maybe"` may have an item that it does not know of: it should
-- revoke its session, and begin with another.
--
-- NAME/item/I is an item. NAME/claim/I, on the lease of a consumer, says that it is taken. For work that few share:
-- taking an item reads the list of all claims.

---@diagnostic disable: await-in-sync -- a call blocks where there are no tasks

local time = require "silly.time"

local BATCH = 10

-- How many items this process has pushed.
local pushed = 0

---@class recipes.queue
---@field client silly.store.etcd.client
---@field session silly.store.etcd.session
---@field name string
---@field items string  what the keys of items begin with
---@field claims string
local queue = {}
queue.__index = queue

---@class recipes.queue.item
---@field queue recipes.queue
---@field key string
---@field value string
---@field claim string  the key that says that it is taken
---@field revision integer  when that was created
local item = {}
item.__index = item

--- Opens a queue.
function queue.open(client, session, name)
	return setmetatable({
		client = client, session = session, name = name, items = name .. "/item/", claims = name .. "/claim/",
	}, queue)
end

-- The revision at which a transaction with `once` has written; false where its comparisons did not hold.
local function written(response, message, info)
	if response then
		return response.succeeded and response.header.revision
	elseif info.applied == "yes" then
		return info.succeeded and info.revision
	end
	return nil, message, info
end

--- Pushes an item. A low `priority`, an integer of 0 to 99999, comes first. Returns its key.
function queue:push(value, priority)
	priority = priority or 0
	if type(priority) ~= "number" or priority % 1 ~= 0 or priority < 0 or priority > 99999 then
		return nil, "queue: the priority must be an integer of 0 to 99999", { code = "invalid_argument", applied = "no" }
	end
	while true do
		pushed = pushed + 1
		local key = ("%s%05d-%015d-%06d-%s"):format(self.items, priority, time.now(), pushed, tostring(self.session.ID))
		-- Another process may share the session.
		local done, message, info = written(self.client:txn {
			compare = { { key = key, version = 0 } },
			success = { { put = { key = key, value = value } } },
			once = self.session,
		})
		if done ~= false then
			return done and key, message, info
		end
	end
end

-- Takes the first item that nobody has: the item; or false, and the revision at which there was none.
local function take(self)
	local from, revision = self.items, nil
	while true do
		local seen, message, info = self.client:txn { success = {
			{ get = { key = from, range_end = self.name .. "/item0", limit = BATCH } },
			{ get = { key = self.claims, prefix = true, keys_only = true } },
		} }
		if not seen then
			return nil, message, info
		end
		-- What is given back later, on an earlier page, is news.
		revision = revision or seen.header.revision
		local found, taken = seen.responses[1].get, {}
		for _, kv in ipairs(seen.responses[2].get.kvs) do
			taken[kv.key:sub(#self.claims + 1)] = true
		end
		for _, kv in ipairs(found.kvs) do
			local id = kv.key:sub(#self.items + 1)
			local claim = self.claims .. id
			local created
			if not taken[id] then
				created, message, info = written(self.client:txn {
					compare = { { key = kv.key, mod_revision = kv.mod_revision }, { key = claim, version = 0 } },
					success = { { put = { key = claim, value = "", lease = self.session.ID } } },
					once = self.session,
				})
				if created == nil then
					return nil, message, info
				elseif created then
					return setmetatable({
						queue = self, key = kv.key, value = kv.value, claim = claim, revision = created,
					}, item)
				end
			end
			from = kv.key .. "\0"
		end
		if not found.more then
			return false, revision
		end
	end
end

--- Takes the first item, and waits for one, for at most `seconds`, if given: an item with `key` and `value`; nil and
--- "timeout"; nil, message, info.
function queue:pop(seconds)
	local stop = seconds and time.monotonic() + seconds * 1000
	while true do
		local taken, revision, info = take(self)
		if taken ~= false then
			return taken, revision, info
		end
		local stream, message
		stream, message, info = self.client:watch { key = self.name .. "/", prefix = true, revision = revision + 1 }
		if not stream then
			return nil, message, info
		end
		local news = false
		repeat
			local response
			response, message, info = stream:read(stop and math.max(0, (stop - time.monotonic()) / 1000))
			for _, event in ipairs(response and response.events or {}) do
				-- An item is pushed, or a claim is gone.
				news = news or (event.type == "PUT") == (event.kv.key:sub(1, #self.items) == self.items)
			end
		until news or not response
		stream:close()
		-- What was compacted is seen by looking again.
		if not (news or info and info.code == "compacted") then
			return nil, message, info
		end
	end
end

--- How many items there are, those that are taken included.
function queue:length()
	local response, message, info = self.client:get { key = self.items, prefix = true, count_only = true }
	return response and response.count, message, info
end

local function finish(self, ...)
	local done, message, info = written(self.queue.client:txn {
		compare = { { key = self.claim, create_revision = self.revision } },
		success = { { delete = self.claim }, ... },
		once = self.queue.session,
	})
	if done == false then
		return nil, "queue: lost: it was done or given back before", { code = "lost", applied = "no" }
	end
	return done and true, message, info
end

--- The item is done, and gone. Fails with `closed` or `lease_expired` where the session has ended, so that it may be
--- another's by now, and with `lost` where it was done or given back before.
function item:done()
	return finish(self, { delete = self.key })
end

--- Gives the item back, for somebody else.
function item:back()
	return finish(self)
end

return queue
