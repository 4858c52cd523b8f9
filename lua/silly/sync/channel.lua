-- Channels: a queue of values from any number of tasks to one.
-- In: values pushed, neither nil nor false. Out: the same values popped, in order; after a close the rest, then the
-- reason.

local task = require "silly.task"

---@class silly.sync.channel
---@field private values any[] values[first] to values[last] are queued
---@field private first integer
---@field private last integer
---@field private consumer? thread the task that waits in pop
local channel = {}
channel.__index = channel

--- An open, empty channel.
---@nodiscard
---@return silly.sync.channel
function channel.new()
	return setmetatable({ values = {}, first = 1, last = 0 }, channel)
end

-- Hand `value` to the task that waits in pop, if there is one; to the next where that is closed before it gets it.
local function deliver(self, value)
	local consumer = self.consumer
	return consumer ~= nil and task._wake(consumer, self, value, function()
		if value ~= nil and not deliver(self, value) then
			self.first = self.first - 1
			self.values[self.first] = value
		end
	end)
end

--- Send a value; never waits.
---@param value any
---@return boolean ok
---@return any reason when not ok: the reason of the close, or "Nil data" where the value is nil or false
function channel:push(value)
	if not value then
		return false, "Nil data"
	end
	if self.reason then
		return false, self.reason
	end
	if not deliver(self, value) then
		self.last = self.last + 1
		self.values[self.last] = value
	end
	return true
end

--- Receive the next value, suspending the running task while there is none.
---@async
---@nodiscard
---@return any value nil when there is none and will be none
---@return any reason that of the close, or "Channel is mpsc" where another task waits; nil where others woke the task
function channel:pop()
	if self.consumer then
		local _ = task.status(self.consumer) -- gives back what it was handed, where it was closed before it ran
	end
	if self.first <= self.last then
		local value = self.values[self.first]
		self.values[self.first] = nil
		self.first = self.first + 1
		return value
	end
	if self.reason then
		return nil, self.reason
	end
	if self.consumer and task._waits(self.consumer, self) then
		return nil, "Channel is mpsc"
	end
	local consumer = task._owner("channel:pop")
	self.consumer = consumer
	local value = task._park("WAIT", self)
	if self.consumer == consumer then
		self.consumer = nil
	end
	if value == nil then
		return nil, self.reason
	end
	return value
end

--- Drop the queued values.
function channel:clear()
	self.values, self.first, self.last = {}, 1, 0
end

--- Close: later pushes fail, and so does pop once the queued values are gone. The reason of the last close counts.
---@param reason? any "channel closed" by default
function channel:close(reason)
	self.reason = reason or "channel closed"
	deliver(self, nil)
end

return channel
