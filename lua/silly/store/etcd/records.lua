-- The object that `client:records` returns: what happens to a client, as it happens.

local iterate = require "silly.store.etcd.iterate"
local object = require "silly.store.etcd.object"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.records
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.reader
local records = {}

local mt, check = object.kind("records", records, function(self)
	return tostring(self.client)
end)

--- Waits until something happens.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.record? record
---@return string? message
---@return silly.store.etcd.info? info
function records:read(seconds)
	return read(check(self, "read"), self.native, seconds)
end

--- Iterates over the same: `for record in records:entries() do`. It ends when the client is closed, or the records are.
---@nodiscard
---@return async fun(): silly.store.etcd.record?
function records:entries()
	check(self, "entries")
	---@async
	return iterate(function() return read(self, self.native) end)
end

--- Reads no more. May be called again.
function records:close()
	object.close(check(self, "close").native)
end

local M = {}

--- Wraps the native half.
---@param client silly.store.etcd.client
---@param native silly.store.etcd.native.reader
---@return silly.store.etcd.records
function M.new(client, native)
	return setmetatable({ client = client, loop = client.loop, native = native }, mt)
end

return M
