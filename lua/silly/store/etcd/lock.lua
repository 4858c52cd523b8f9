-- The object that `client:lock` returns.

local failure = require "silly.store.etcd.failure"
local holder = require "silly.store.etcd.holder"
local pcall = require("silly.store.etcd.protect").pcall

---@class silly.store.etcd.lock: silly.store.etcd.holder
local lock = {}

local mt, check = holder.kind("lock", lock)

-- Why it is not held, other than by one's own will.
local function loss(self)
	local info = not self.native:held() and self.losses:take()
	return info and info.code ~= "closed" and info
end

---@async
local function finish(self, ok, ...)
	local lost = loss(self)
	self:unlock()
	if not ok then
		error((...), 0)
	elseif lost then
		return failure("lock.run", lost.code, lost.message, "maybe")
	end
	return ...
end

--- Runs a function while the lock is held, and unlocks it whatever happens.
---@async
---@param f fun(lock: silly.store.etcd.lock, ...: any): ...: any
---@param ... any arguments for `f`
---@return any ... what `f` has returned; nil, why and the info where the lock was lost meanwhile
function lock:run(f, ...)
	check(self, "run")
	if type(f) ~= "function" then
		return failure("lock.run", "invalid_argument", "the function must be a function, got a " .. type(f))
	end
	local lost = loss(self)
	if lost then
		return failure("lock.run", lost.code, lost.message)
	end
	return finish(self, pcall(f, self, ...))
end

--- Unlocks it, and waits until its key is gone. May be called again.
---@async
---@return true? unlocked
---@return string? message
---@return silly.store.etcd.info? info
function lock:unlock()
	return holder.giveup(check(self, "unlock"), "lock.unlock")
end

local M = {}

--- Wraps the native half of a lock.
---@param client silly.store.etcd.client
---@param made table
---@return silly.store.etcd.lock
function M.new(client, made)
	---@type silly.store.etcd.lock
	return holder.new(mt, client, made)
end

return M
