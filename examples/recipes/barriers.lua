-- A barrier, at which others wait until it is released, and a rendezvous of so many who begin and end together.
-- In: a client, a session of it that was made with a `marker`, one for each who takes part, and a name. Out: when to go
-- on. Whoever holds or takes part has a key below the name, on its session's lease: whoever dies holds nobody up for
-- longer than its TTL. All see the same history of these keys, so nobody needs to say when to begin. Where a call fails
-- with `applied = "maybe"`, revoke the session.

---@diagnostic disable: await-in-sync -- a call blocks where there are no tasks

local time = require "silly.time"

local barriers = {}

local function key_of(session, name)
	return name .. "/" .. tostring(session.ID)
end

-- Who is there, by key: a set, how many, and a function that applies an event and returns the new count.
local function members(kvs)
	local there, count = {}, #kvs
	for _, kv in ipairs(kvs) do
		there[kv.key] = true
	end
	return there, count, function(event)
		local key, put = event.kv.key, event.type == "PUT"
		if put ~= (there[key] == true) then
			there[key], count = put or nil, count + (put and 1 or -1)
		end
		return count
	end
end

-- The events of a stream, one by one: what it returns waits until `stop`.
local function events(stream)
	local read, at = {}, 0
	return function(stop)
		while at == #read do
			local response, message, info = stream:read(stop and math.max(0, (stop - time.monotonic()) / 1000))
			if not response then
				return nil, message, info
			end
			read, at = response.events, 0
		end
		at = at + 1
		return read[at]
	end
end

-- Waits until `seen(event)` is true.
---@return boolean? true
---@return string? message
---@return silly.store.etcd.info? info
local function follow(next_event, stop, seen)
	repeat
		local event, message, info = next_event(stop)
		if not event then
			return nil, message, info
		end
	until seen(event)
	return true
end

local function after(seconds)
	return seconds and time.monotonic() + seconds * 1000
end

-- Puts or deletes a session's key, or neither where the comparisons do not hold.
---@return integer|false|nil revision  false where they did not
---@return string? message
---@return silly.store.etcd.info? info
local function write(client, session, compare, operation)
	local response, message, info = client:txn { compare = compare, success = { operation }, once = session }
	if response then
		return response.succeeded and response.header.revision
	elseif info.applied == "yes" then
		return info.succeeded and info.revision
	end
	return nil, message, info
end

--- Holds a barrier, until it is released or the session ends: true; nil, message, info.
function barriers.hold(client, session, name)
	local put = { key = key_of(session, name), value = "", lease = session.ID }
	local held, message, info = write(client, session, {}, { put = put })
	return held and true, message, info
end

--- Releases it: true; nil, message, info.
function barriers.release(client, session, name)
	local released, message, info = write(client, session, {}, { delete = key_of(session, name) })
	return released and true, message, info
end

--- Waits until nobody holds it, for at most `seconds`, if given: true; nil, message, info.
function barriers.wait(client, name, seconds)
	local stop = after(seconds)
	while true do
		local held, message, info = client:get { key = name .. "/", prefix = true, keys_only = true }
		if not held then
			return nil, message, info
		end
		local _, count, apply = members(held.kvs)
		if count == 0 then
			return true
		end
		local stream
		stream, message, info = client:watch { key = name .. "/", prefix = true, revision = held.header.revision + 1 }
		if not stream then
			return nil, message, info
		end
		local free
		free, message, info = follow(events(stream), stop, function(event) return apply(event) == 0 end)
		stream:close()
		-- What was compacted is read anew.
		if free or not (info and info.code == "compacted") then
			return free, message, info
		end
	end
end

--- Waits until `number` take part, for at most `seconds`, if given. Returns a function to call at the end:
--- `leave(seconds)` waits until all of them have left, and returns true. Else nil, message, info, and takes no part.
function barriers.enter(client, session, name, number, seconds)
	local prefix, own, stop = name .. "/", key_of(session, name), after(seconds)
	local at, message, info = write(client, session, { { key = own, version = 0 } },
		{ put = { key = own, value = "", lease = session.ID } })
	if not at then
		return nil, message or "rendezvous: already_exists: the session takes part", info or { code = "already_exists" }
	end
	local began, stream
	began, message, info = client:get { key = prefix, prefix = true, keys_only = true, revision = at }
	if began then
		stream, message, info = client:watch { key = prefix, prefix = true, revision = at + 1 }
	end
	if not (began and stream) then
		barriers.release(client, session, name)
		return nil, message, info
	end

	local there, count, apply = members(began.kvs)
	local next_event = events(stream)
	local function seen(event)
		count, at = apply(event), event.kv.mod_revision
		return count == number or not there[own]
	end
	while count ~= number and there[own] do
		local heard
		heard, message, info = follow(next_event, stop, seen)
		if not heard then
			-- Gives up, unless somebody has come of whom it has not heard yet: they might be enough then.
			local known = { key = prefix, prefix = true, target = "CREATE", result = "LESS", create_revision = at + 1 }
			local left, problem, reason = write(client, session, { known }, { delete = own })
			if left ~= false then
				stream:close()
				return nil, problem or message, reason or info
			end
			-- The event of whoever has come is on its way here.
			heard, message, info = follow(next_event, nil, function(event) return seen(event) or event.type == "PUT" end)
			if not heard then
				barriers.release(client, session, name)
				stream:close()
				return nil, message, info
			end
		end
	end
	if not there[own] then
		stream:close()
		return nil, "rendezvous: lost: the session has ended", { code = "lost" }
	end

	return function(limit)
		local released, problem, reason = barriers.release(client, session, name)
		if not released then
			return nil, problem, reason
		end
		---@type boolean?
		local left
		left, problem, reason = follow(next_event, after(limit), function(event)
			-- Who comes now is of the next round.
			return event.type == "DELETE" and there[event.kv.key] and apply(event) == 0
		end)
		if left then
			stream:close()
		end
		return left, problem, reason
	end
end

return barriers
