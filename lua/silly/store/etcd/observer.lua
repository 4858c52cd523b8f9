-- The object that `client:observe` returns: who leads, whenever that changes.

local iterate = require "silly.store.etcd.iterate"
local object = require "silly.store.etcd.object"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.observer
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.reader
local observer = {}

local mt, check = object.kind("observer", observer, function(self)
	return tostring(self.client)
end)

--- Waits until another leads, or nobody does. The first time it returns at once.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.leader.response? response
---@return string? message
---@return silly.store.etcd.info? info
function observer:read(seconds)
	return read(check(self, "read"), self.native, seconds)
end

--- Iterates over the same: `for led in observer:changes() do`. It ends when the observer is closed; any other end is
--- raised.
---@nodiscard
---@return async fun(): silly.store.etcd.leader.response?
function observer:changes()
	check(self, "changes")
	---@async
	return iterate(function() return read(self, self.native) end)
end

--- The leader as far as is known; nil where nobody leads. Costs no call.
---@nodiscard
---@return silly.store.etcd.kv? kv
---@return string? message  where it is not known
---@return silly.store.etcd.info? info
function observer:kv()
	local native = check(self, "kv").native --[[@as silly.store.etcd.native.observer]]
	return native:status()
end

--- Follows no longer. May be called again.
function observer:close()
	object.close(check(self, "close").native)
end

local M = {}

--- Wraps the native half of an observer.
---@param client silly.store.etcd.client
---@param native silly.store.etcd.native.reader
---@return silly.store.etcd.observer
function M.new(client, native)
	return setmetatable({ client = client, loop = client.loop, native = native }, mt)
end

return M
