-- The object that `client:campaign` returns.

local await = require "silly.store.etcd.await"
local holder = require "silly.store.etcd.holder"

---@class silly.store.etcd.leader: silly.store.etcd.holder
local leader = {}

local mt, check = holder.kind("leader", leader)

--- Tells those who observe something else, as long as the leadership is held.
---@async
---@param req silly.store.etcd.proclaim|string
---@return silly.store.etcd.proclaim.response? response
---@return string? message
---@return silly.store.etcd.info? info
function leader:proclaim(req, more)
	return await(self, check(self, "proclaim").native, "leader.proclaim", req, more)
end

--- Gives the leadership up, and waits until its key is gone. May be called again.
---@async
---@return true? resigned
---@return string? message
---@return silly.store.etcd.info? info
function leader:resign()
	return holder.giveup(check(self, "resign"), "leader.resign")
end

local M = {}

--- Wraps the native half of leadership.
---@param client silly.store.etcd.client
---@param made table
---@return silly.store.etcd.leader
function M.new(client, made)
	---@type silly.store.etcd.leader
	return holder.new(mt, client, made)
end

return M
