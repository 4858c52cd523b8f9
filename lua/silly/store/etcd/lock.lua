-- The object that `client:lock` returns.

local failure = require "silly.store.etcd.failure"
local holder = require "silly.store.etcd.holder"
local pcall = require("silly.store.etcd.protect").pcall

---@class silly.store.etcd.lock: silly.store.etcd.holder
---@field package unlocked boolean?  by the program
local lock = {}

local mt, check = holder.kind("lock", lock)

---@async
local function finish(self, ok, ...)
	-- One that the function has unlocked itself is not lost.
	local lost = not self.unlocked and self.native:loss()
	self:unlock()
	if not ok then
		error((...), 0)
	elseif lost then
		return failure("lock.run", lost.code, lost.message, "maybe")
	end
	return ...
end

---@async
local function guarded(self, f, ...)
	return finish(self, pcall(f, self, ...))
end

if _VERSION >= "Lua 5.4" then
	-- A coroutine that is closed meanwhile unlocks too.
	guarded = assert(load [[
		local guarded = ...
		return function(self, ...)
			local closing <close> = self
			return guarded(self, ...)
		end
	]])(guarded)
end

--- Runs a function while the lock is held, and unlocks it whatever happens.
---@async
---@param f fun(lock: silly.store.etcd.lock, ...: any): ...: any
---@param ... any arguments for `f`
---@return any ... what `f` has returned; nil, why and the info where the lock was lost meanwhile
function lock:run(f, ...)
	local native = check(self, "run").native
	if type(f) ~= "function" then
		return failure("lock.run", "invalid_argument", "the function must be a function, got a " .. type(f))
	end
	local lost = native:loss()
	if lost then
		return failure("lock.run", lost.code, lost.message)
	end
	return guarded(self, f, ...)
end

--- Unlocks it, and waits until its key is gone. May be called again.
---@async
---@return true? unlocked
---@return string? message
---@return silly.store.etcd.info? info
function lock:unlock()
	check(self, "unlock").unlocked = true
	return holder.giveup(self, "lock.unlock")
end

--- Unlocks it in the background. May be called again.
function lock:close()
	check(self, "close").unlocked = true
	holder.close(self)
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
