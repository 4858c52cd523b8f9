-- The object that `client:session` returns: a lease that several locks and candidacies share.

local await = require "silly.store.etcd.await"
local object = require "silly.store.etcd.object"
local promise = require "silly.store.etcd.promise"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.session
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.session
---@field package losses silly.store.etcd.native.reader
local session = {}

local mt, check = object.kind("session", session, function(self)
	return ("%s, %s"):format(tostring(self.ID), tostring(self.client)), not self.native:held() and "ended" or nil
end)

--- Does its lease live for certain? Costs no call.
---@nodiscard
---@return boolean
function session:held()
	return check(self, "held").native:held()
end

--- Waits until it has ended, and returns why.
---@async
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.loss? loss
---@return string? message
---@return silly.store.etcd.info? info
function session:wait(seconds)
	return read(check(self, "wait"), self.losses, seconds)
end

--- Renews the lease no longer, and leaves it to another process, which has its TTL's time to take it over.
---@return silly.store.etcd.id? ID
---@return string? message
---@return silly.store.etcd.info? info
function session:orphan()
	local native = check(self, "orphan").native
	local left, message, info = native:orphan()
	if not left then
		return nil, message, info
	end
	return promise(self.client, left.ID)
end

--- Ends it and all that lives on it, and waits until its lease is revoked. May be called again.
---@async
---@return true? revoked
---@return string? message
---@return silly.store.etcd.info? info
function session:revoke()
	local native = check(self, "revoke").native
	return promise(self.client, await(self, native, "session.revoke"))
end

--- The same in the background.
function session:close()
	object.close(check(self, "close").native)
	promise(self.client)
end

local M = {}

--- Wraps the native half of a session.
---@param client silly.store.etcd.client
---@param made table  header, ID, TTL and the native halves
---@return silly.store.etcd.session
function M.new(client, made)
	made.client, made.loop = client, client.loop
	-- It lives until it is closed or lost, though the program may forget it.
	made.native:keep()
	return setmetatable(made, mt)
end

return M
