-- The methods of silly.resty.etcd for leases. In: ids as numbers or strings. Out: see silly.resty.etcd.call; ids as
-- strings.

local calls = require "silly.resty.etcd.call"
local responses = require "silly.resty.etcd.responses"

local call = calls.call

---@class (partial) silly.resty.etcd.client
local client = calls.methods

--- Creates a lease, and does not renew it.
---@async
---@param ttl integer
---@param id integer|string|nil
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:grant(ttl, id)
	if ttl == nil then
		return nil, "lease grant command needs TTL argument"
	elseif type(ttl) ~= "number" or ttl % 1 ~= 0 then
		return nil, "ttl must be integer"
	end
	return call(self, "grant", { TTL = ttl, ID = id, keepalive = false }, nil, responses.grant)
end

--- Ends a lease and deletes its keys.
---@async
---@param id integer|string
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:revoke(id)
	if id == nil then
		return nil, "lease revoke command needs ID argument"
	end
	return call(self, "revoke", { ID = id }, nil, responses.revoke)
end

-- etcd responds to the renewal of a lease that is gone, with no TTL.
local function renewed(message)
	return { result = responses.grant(message) }
end

local function gone(message)
	return { result = { header = responses.header(message.header), ID = tostring(message.ID) } }
end

--- Renews a lease once.
---@async
---@param id integer|string
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:keepalive(id)
	if id == nil then
		return nil, "lease keepalive command needs ID argument"
	end
	local response, message, info = call(self, "keepalive", { ID = id }, nil, renewed)
	if not response and info and info.code == "not_found" then
		return call(self, "ttl", { ID = id }, nil, gone)
	end
	return response, message, info
end

--- Asks how long a lease still lives.
---@async
---@param id integer|string
---@param keys boolean?  also list its keys
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:timetolive(id, keys)
	if id == nil then
		return nil, "lease timetolive command needs ID argument"
	end
	return call(self, "ttl", { ID = id, keys = keys and true or nil }, nil, responses.ttl)
end

--- Lists the leases of the cluster.
---@async
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:leases()
	return call(self, "leases", {}, nil, responses.leases)
end
