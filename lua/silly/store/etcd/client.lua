-- The client object: one method per call of etcd, each written as if it blocked.
--
-- Every method takes a request table, which it never changes, and returns the answer's table, or nil, a message for
-- a person and a table for programs. None throws, but for a call without `self`. The types are in library/.

local await = require "silly.store.etcd.await"
local keepalive = require "silly.store.etcd.keepalive"
local watch = require "silly.store.etcd.watch"

---@class silly.store.etcd.client
---@field private native userdata
---@field private loop silly.store.etcd.loop
local client = {}

local mt = { __index = client, __name = "silly.store.etcd.client" }

local function check(self, name)
	if getmetatable(self) ~= mt then
		error(("%s: the client is missing, call it as client:%s(...)"):format(name, name), 3)
	end
	return self.native
end

-- The clients that renew leases in the background. That is a promise, and holds though Lua has forgotten the client.
local promised = {}

-- Looks which clients still do.
local function promise(self)
	promised[self] = true
	for other in pairs(promised) do
		promised[other] = other.native:renews() or nil
	end
end

--- Stores a value under a key.
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:put(req)
	local native = check(self, "put")
	return await(self, native:put(req))
end

--- Reads a key, or a range of keys.
---@param req silly.store.etcd.get
---@return silly.store.etcd.get.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:get(req)
	local native = check(self, "get")
	return await(self, native:get(req))
end

--- Deletes a key, or a range of keys.
---@param req silly.store.etcd.delete
---@return silly.store.etcd.delete.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:delete(req)
	local native = check(self, "delete")
	return await(self, native:delete(req))
end

--- Compares, then runs one of two lists of operations, all in one step.
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:txn(req)
	local native = check(self, "txn")
	return await(self, native:txn(req))
end

--- Forgets the history before a revision.
---@param req silly.store.etcd.compact
---@return silly.store.etcd.compact.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:compact(req)
	local native = check(self, "compact")
	return await(self, native:compact(req))
end

--- Creates a lease and renews it in the background, unless the request says `keepalive = false`.
---@param req silly.store.etcd.grant
---@return silly.store.etcd.grant.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:grant(req)
	local native = check(self, "grant")
	local answer, message, info = await(self, native:grant(req))
	promise(self)
	return answer, message, info
end

--- Ends a lease; its keys are deleted with it and its renewal stops.
---@param req silly.store.etcd.revoke
---@return silly.store.etcd.revoke.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:revoke(req)
	local native = check(self, "revoke")
	return await(self, native:revoke(req))
end

--- Asks how long a lease still lives.
---@param req silly.store.etcd.ttl
---@return silly.store.etcd.ttl.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:ttl(req)
	local native = check(self, "ttl")
	return await(self, native:ttl(req))
end

--- Lists the leases of the cluster.
---@param req silly.store.etcd.leases?
---@return silly.store.etcd.leases.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:leases(req)
	local native = check(self, "leases")
	return await(self, native:leases(req == nil and {} or req))
end

--- Renews a lease once. With `keepalive = true`, or an id instead of a request, it is also renewed in the background
--- from then on; with `keepalive = false` no longer.
---@param req silly.store.etcd.keepalive.request|integer|string
---@return silly.store.etcd.keepalive? stream
---@return string? message
---@return silly.store.etcd.info? info
function client:keepalive(req)
	local native = check(self, "keepalive")
	if type(req) ~= "table" then
		req = { ID = req, keepalive = true }
	end
	local answer, message, info = await(self, native:keepalive(req))
	promise(self)
	if not answer then
		return nil, message, info
	end
	return keepalive.new(self, answer)
end

--- Watches a key, or a range of keys. Returns once the server has confirmed it.
---@param req silly.store.etcd.watch.request
---@return silly.store.etcd.watch? stream
---@return string? message
---@return silly.store.etcd.info? info
function client:watch(req)
	local native = check(self, "watch")
	local stream, message, info = await(self, native:watch(req))
	if not stream then
		return nil, message, info
	end
	return watch.new(self, stream)
end

--- Ends everything: calls and watches under way answer with the code `closed`, and so does every later call. Leases
--- are renewed no longer and end with their TTL. May be called again.
function client:close()
	check(self, "close"):close()
	promised[self] = nil
end

mt.__close = client.close

function mt:__tostring()
	local native = check(self, "tostring")
	return ("%s: %s%s"):format(mt.__name, native:endpoints(), native:closed() and " (closed)" or "")
end

local M = {}

--- Wraps the native half of a client.
---@param native userdata
---@param loop silly.store.etcd.loop
---@return silly.store.etcd.client
function M.new(native, loop)
	return setmetatable({ native = native, loop = loop }, mt)
end

return M
