-- Mutexes for tasks: one object guards any number of keys.
-- In: a key. Out: a guard, once the key is free; tasks get it in the order in which they asked.
-- The owner may lock again; the key is free once every guard is unlocked. A guard that is never unlocked, not
-- even by `<close>` (Lua 5.4 and later), keeps the key locked after the end of its task.

local task = require "silly.task"

---@class silly.sync.mutex.lock
---@field owner? thread the task that holds it, nil for the main chunk
---@field depth integer how often the owner holds it
---@field first integer the waiting tasks are lock[first] to lock[last]
---@field last integer
---@field [integer] thread

---@class silly.sync.mutex
---@field private locks table<any, silly.sync.mutex.lock>
local mutex = {}
mutex.__index = mutex

---@class silly.sync.mutex.guard
---@field private locks table<any, silly.sync.mutex.lock>
---@field private key any
---@field private held boolean
local guard = {}
guard.__index = guard

-- Gives the key to the task that has waited longest, or frees it.
local function release(locks, key)
	local lock = locks[key]
	while lock.first <= lock.last do
		local waiter = lock[lock.first]
		lock[lock.first] = nil
		lock.first = lock.first + 1
		if task._wake(waiter, lock, nil, function() release(locks, key) end) then
			lock.owner, lock.depth = waiter, 1
			return
		end
	end
	locks[key] = nil
end

--- Unlock; a second time does nothing. The key goes to the task that has waited longest.
function guard:unlock()
	if not self.held then
		return
	end
	self.held = false
	local lock = self.locks[self.key]
	lock.depth = lock.depth - 1
	if lock.depth == 0 then
		release(self.locks, self.key)
	end
end

guard.__close = guard.unlock

--- A mutex without locked keys.
---@nodiscard
---@return silly.sync.mutex
function mutex.new()
	return setmetatable({ locks = {} }, mutex)
end

--- Lock `key`, suspending the running task while another one holds it.
---@async
---@nodiscard
---@param key any not nil
---@return silly.sync.mutex.guard
function mutex:lock(key)
	if key == nil then
		error("mutex:lock: the key is nil", 2)
	end
	local owner = task.running()
	local lock = self.locks[key]
	if not lock then
		self.locks[key] = { owner = owner, depth = 1, first = 1, last = 0 }
	elseif lock.owner == owner then
		lock.depth = lock.depth + 1
	else
		owner = task._owner("mutex:lock")
		lock.last = lock.last + 1
		lock[lock.last] = owner
		task._park("WAIT", lock)
		if lock.owner ~= owner then -- woken by others
			return self:lock(key)
		end
	end
	return setmetatable({ locks = self.locks, key = key, held = true }, guard)
end

return mutex
