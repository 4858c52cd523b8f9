-- The object that `client:keepalive` returns: the response's fields, and a stream for more renewals of the lease.
--
-- `write` sends a renewal and waits for its response; `read` returns the newest response that was not read yet. Where
-- the lease is renewed in the background too, `read` waits for the next, and says when the lease is lost.

local failure = require "silly.store.etcd.failure"
local object = require "silly.store.etcd.object"
local promise = require "silly.store.etcd.promise"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.keepalive: silly.store.etcd.keepalive.response
---@field package client silly.store.etcd.client
---@field package loop silly.store.etcd.loop
---@field package renewals silly.store.etcd.native.reader?  the native half, where there is renewal in the background
---@field package answer silly.store.etcd.keepalive.response?
---@field package closed boolean
local keepalive = {}

local mt, check = object.kind("keepalive", keepalive, function(self)
	return tostring(self.ID), self.closed and "closed" or nil
end)

--- Renews the lease once more.
---@async
---@param req silly.store.etcd.keepalive.request?  names the lease; without it, it is the one of this object
---@return boolean? ok
---@return string? message
---@return silly.store.etcd.info? info
function keepalive:write(req)
	if check(self, "write").closed then
		return failure("keepalive", "closed", "the stream is closed")
	end
	local stream, message, info = self.client:keepalive(type(req) == "table" and req or { ID = req or self.ID })
	if not stream then
		return nil, message, info
	end
	self.renewals = stream.renewals or self.renewals
	self.answer = stream.answer
	return true
end

--- The newest response that was not read yet. Where there is none: the next renewal in the background is waited for, or
--- the loss of the lease, which is the code `lease_expired`; without such renewal it is an error.
---@async
---@nodiscard
---@param seconds number?  to wait at the most; nil, "timeout" is returned then
---@return silly.store.etcd.keepalive.response? response
---@return string? message
---@return silly.store.etcd.info? info
function keepalive:read(seconds)
	if check(self, "read").closed then
		return failure("keepalive", "closed", "the stream is closed")
	end
	local answer = self.answer
	self.answer = nil
	if answer then
		return answer
	elseif self.renewals then
		return promise(self.client, read(self, self.renewals, seconds)) -- which may say that the lease is lost
	end
	return failure("keepalive", "failed_precondition",
		"nothing was written since the last read, and nothing renews the lease")
end

--- Ends the stream and the reads under way on it. The lease and its renewal in the background go on.
--- May be called again.
function keepalive:close()
	check(self, "close").closed = true
	self.answer = nil
	if self.renewals then
		object.close(self.renewals)
	end
end

local M = {}

--- Wraps the response of a renewal.
---@param client silly.store.etcd.client
---@param answer table  a silly.store.etcd.keepalive.response, with the native half in `renewals`, which is taken out
---@return silly.store.etcd.keepalive
function M.new(client, answer)
	local renewals = answer.renewals
	answer.renewals = nil
	local stream = { client = client, loop = client.loop, renewals = renewals, closed = false }
	stream.answer = not renewals and answer or nil -- else it is the first news
	stream.header, stream.ID, stream.TTL = answer.header, answer.ID, answer.TTL
	return setmetatable(stream, mt)
end

return M
