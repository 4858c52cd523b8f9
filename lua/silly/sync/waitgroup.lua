-- Wait groups: wait until a number of forked tasks are over.
-- In: functions to fork. Out: every waiting task woken when the last of them has ended, failed or not.
-- An error in one is reported on stderr like that of any task, and counts as its end.

local task = require "silly.task"

---@class silly.sync.waitgroup
---@field private waiters thread[] those that wait, in order
local waitgroup = {}
waitgroup.__index = waitgroup

--- A wait group without tasks.
---@nodiscard
---@return silly.sync.waitgroup
function waitgroup.new()
	return setmetatable({ count = 0, waiters = {} }, waitgroup)
end

--- Fork `func` as a task of this group.
---@param func async fun()
---@return thread task
function waitgroup:fork(func)
	local co = task.fork(func)
	task._ended(co, function()
		self.count = self.count - 1
		if self.count == 0 then
			local waiters = self.waiters
			self.waiters = {}
			for _, waiter in ipairs(waiters) do
				task._wake(waiter, self)
			end
		end
	end)
	self.count = self.count + 1
	return co
end

--- Suspend the running task until every task of the group has ended; returns at once when there is none.
---@async
function waitgroup:wait()
	while self.count > 0 do
		table.insert(self.waiters, task._owner("waitgroup:wait"))
		task._park("WAIT", self)
	end
end

return waitgroup
