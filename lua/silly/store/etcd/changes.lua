-- The object that `cache:changes` returns: what has changed in a cache since it was read last, the newest of each key.

local events = require "silly.store.etcd.events"
local object = require "silly.store.etcd.object"

---@class silly.store.etcd.changes: silly.store.etcd.events
---@field package cache silly.store.etcd.cache  keeps it from being collected
local changes = {}

local mt, check = object.kind("changes", changes, function(self)
	return tostring(self.cache)
end)

--- Waits for the next changes, all those since the last read.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.changes.response? response
---@return string? message
---@return silly.store.etcd.info? info
function changes:read(seconds)
	return events.read(check(self, "read"), seconds)
end

--- Iterates over the changes: `for event, response in changes:events() do`. A loop that is left loses nothing. It ends
--- when the changes, or the client, are closed.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.changes.response?
function changes:events()
	return events.iterate(check(self, "events"))
end

--- Reads no more. May be called again.
function changes:close()
	object.close(check(self, "close").native)
	events.clear(self)
end

local M = {}

--- Wraps the native half of the changes of a cache.
---@param cache silly.store.etcd.cache
---@param native silly.store.etcd.native.reader
---@return silly.store.etcd.changes
function M.new(cache, native)
	return setmetatable({ cache = cache, native = native, loop = cache.loop, begun = {}, at = 1 }, mt)
end

return M
