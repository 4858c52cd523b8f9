-- The object that `client:register` returns: an entry that is there until it is closed.

local await = require "silly.store.etcd.await"
local object = require "silly.store.etcd.object"
local promise = require "silly.store.etcd.promise"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.registration
---@field client silly.store.etcd.client  keeps it from being collected, which would close it
---@field loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.registration
---@field package statuses silly.store.etcd.native.reader
local registration = {}

local mt, check = object.kind("registration", registration, function(self)
	local status = self.native:status()
	local state = status and (status.registered and "registered" or status.taken and "taken") or "not registered"
	return ("%s, %s"):format(self.key, tostring(self.client)), state
end)

--- Gives the entry another value. Returns once it is there.
---@async
---@param req silly.store.etcd.registration.update
---@return silly.store.etcd.registration.update.response? response
---@return string? message
---@return silly.store.etcd.info? info
function registration:update(req)
	return await(self, check(self, "update").native, "registration.update", req)
end

--- Is the entry there for certain: was its lease renewed in time?
---@nodiscard
---@return boolean
function registration:held()
	return check(self, "held").native:held()
end

--- Whether the entry is there. Costs no call.
---@nodiscard
---@return silly.store.etcd.registration.status? status  nil in a forked child
---@return string? message
---@return silly.store.etcd.info? info
function registration:status()
	return check(self, "status").native:status()
end

--- Waits until the status changes, and returns it.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.registration.status? status
---@return string? message
---@return silly.store.etcd.info? info
function registration:read(seconds)
	return read(check(self, "read"), self.statuses, seconds)
end

--- Ends the registration, and waits until the entry is gone. May be called again.
---@async
function registration:close()
	object.close(check(self, "close").native)
	local client = self.client
	if client.registrations[self] then
		client.registrations[self] = nil
		promise(client, await(self, self.native, "registration.close"))
	end
end

local M = {}

--- Wraps the native half of a registration.
---@param client silly.store.etcd.client
---@param made table  header, key, id, lease and the native halves
---@return silly.store.etcd.registration
function M.new(client, made)
	made.client, made.loop = client, client.loop
	local self = setmetatable(made, mt)
	-- It lives as long as the client, though the program may forget it.
	client.registrations[self] = true
	return self
end

return M
