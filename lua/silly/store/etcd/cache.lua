-- The object that `client:cache` returns: a range of keys that is always here, read without a call.

local await = require "silly.store.etcd.await"
local changes = require "silly.store.etcd.changes"
local object = require "silly.store.etcd.object"

---@class silly.store.etcd.cache
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.cache
---@field package peek silly.store.etcd.native.peek  for `value`
---@field package decode (fun(value: string): any)?
---@field package decoded table<string, silly.store.etcd.decoded>  by key, of those that were asked for
---@field package room integer  how many more of them there may be before those of deleted keys are looked for
local cache = {}

-- How many values may be decoded before those of deleted keys are looked for, beside as many as there are.
local ROOM = 64

-- What `decode` has made of a value.
---@class silly.store.etcd.decoded
---@field change number  the one that brought the value
---@field value any  nil where it could not be decoded
---@field message string?  why not

local mt, check = object.kind("cache", cache, function(self)
	local status = self.native:status()
	return tostring(self.client), status and status.state or nil
end)

--- The response of `client:get` to the same request, without a call. With `linearizable`, or a `min_revision` that is
--- not here yet, it waits.
---@async
---@nodiscard
---@param req silly.store.etcd.cache.get|string
---@return silly.store.etcd.get.response? response
---@return string? message
---@return silly.store.etcd.info? info
function cache:get(req)
	local response, message, info = check(self, "get").native:look(req)
	if response == false then
		return await(self, self.native, "cache.get", req)
	end
	return response, message, info
end

-- Calls `decode`, and says why there is no value.
local function decode(self, key, text, change)
	local ok, value = pcall(self.decode, text)
	local message
	if not ok then
		value, message = nil, ("cache.value: decode failed for the key %q: %s"):format(key, tostring(value))
	elseif value == nil then
		message = ("cache.value: decode returned nil for the key %q"):format(key)
	end
	return { change = change, value = value, message = message }
end

-- Keeps what was decoded, and forgets, now and then, what was of keys that are no longer here.
local function remember(self, key, made)
	local decoded = self.decoded
	if not decoded[key] then
		self.room = self.room - 1
	end
	decoded[key] = made
	if self.room < 0 then
		local count = 0
		for name, entry in pairs(decoded) do
			if self.peek(name, entry.change) == true then
				count = count + 1
			else
				decoded[name] = nil
			end
		end
		self.room = count + ROOM
	end
	return made
end

--- The value of a key, decoded once per change where the cache was made with `decode`; nil where there is none.
---@param key string
---@return any value
---@return string? message  why it cannot be told, nil where there is no such key
---@return silly.store.etcd.info? info
function cache:value(key)
	local entry = check(self, "value").decoded[key]
	local text, change = self.peek(key, entry and entry.change)
	if text then
		if not self.decode then
			return text
		elseif text ~= true then
			entry = remember(self, key, decode(self, key, text, change))
		end
		if entry.message then
			return nil, entry.message
		end
		return entry.value
	elseif text == nil then
		return nil
	end
	local known, message, info = self.native:value(key)
	if known then
		return self:value(key)
	end
	return nil, message, info
end

--- Iterates over the keys of a prefix as they are now, in their order: `for kv in cache:kvs() do`. What comes meanwhile
--- does not change them.
---@nodiscard
---@param prefix string?  default: the whole cache
---@return fun(): silly.store.etcd.kv?
function cache:kvs(prefix)
	local view, message = check(self, "kvs").native:view(prefix)
	if not view then
		error(message, 2)
	end
	return function()
		return view:next()
	end
end

--- Follows what changes from now on; with `initial` all that is here comes first.
---@nodiscard
---@param req silly.store.etcd.cache.follow?
---@return silly.store.etcd.changes? changes
---@return string? message
---@return silly.store.etcd.info? info
function cache:changes(req)
	local native, message, info = check(self, "changes").native:changes(req)
	if not native then
		return nil, message, info
	end
	return changes.new(self, native)
end

--- What the cache is doing. Costs no call.
---@nodiscard
---@return silly.store.etcd.cache.status? status  nil in a forked child
---@return string? message
---@return silly.store.etcd.info? info
function cache:status()
	return check(self, "status").native:status()
end

--- Ends the cache. Reads that wait end. May be called again.
function cache:close()
	object.close(check(self, "close").native)
	self.decoded = {}
end

local M = {}

--- Wraps the native half of a cache.
---@param client silly.store.etcd.client
---@param native silly.store.etcd.native.cache
---@param how (fun(value: string): any)?  decodes a value
---@return silly.store.etcd.cache
function M.new(client, native, how)
	return setmetatable({
		client = client,
		native = native,
		loop = client.loop,
		peek = native:peek(),
		decode = how,
		decoded = {},
		room = ROOM,
	}, mt)
end

return M
