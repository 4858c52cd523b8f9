-- The object that `client:keepalive` returns: the answer's fields, and a stream for more renewals of the lease.
--
-- `write` sends a renewal and waits for its answer; `read` returns the newest answer that was not read yet.

---@class silly.store.etcd.keepalive: silly.store.etcd.keepalive.response
---@field private client silly.store.etcd.client
---@field private answer silly.store.etcd.keepalive.response?
---@field private ended boolean
local keepalive = {}

local mt = { __index = keepalive, __name = "silly.store.etcd.keepalive" }

local function failure(message, code)
	return nil, "keepalive: " .. code .. ": " .. message, { code = code, applied = "no" }
end

--- Renews the lease once more.
---@param req silly.store.etcd.keepalive.request?  the same lease, which is what is renewed without a request
---@return boolean? ok
---@return string? message
---@return silly.store.etcd.info? info
function keepalive:write(req)
	if self.ended then
		return failure("the stream is closed", "closed")
	end
	local stream, message, info = self.client:keepalive(req == nil and { ID = self.ID } or req)
	if not stream then
		return nil, message, info
	end
	self.answer = stream.answer
	return true
end

--- The newest answer that was not read yet. Never waits: `write` has waited for it.
---@return silly.store.etcd.keepalive.response? response
---@return string? message
---@return silly.store.etcd.info? info
function keepalive:read()
	if self.ended then
		return failure("the stream is closed", "closed")
	end
	local answer = self.answer
	if not answer then
		return failure("nothing was written since the last read", "failed_precondition")
	end
	self.answer = nil
	return answer
end

--- Ends the stream. The lease and its renewal in the background go on. May be called again.
function keepalive:close()
	self.ended = true
	self.answer = nil
end

mt.__close = keepalive.close

function mt:__tostring()
	return ("%s: %s%s"):format(mt.__name, self.ID, self.ended and " (closed)" or "")
end

local M = {}

--- Wraps the answer of a renewal.
---@param client silly.store.etcd.client
---@param answer silly.store.etcd.keepalive.response
---@return silly.store.etcd.keepalive
function M.new(client, answer)
	local stream = { client = client, answer = answer, ended = false }
	stream.header, stream.ID, stream.TTL = answer.header, answer.ID, answer.TTL
	return setmetatable(stream, mt)
end

return M
