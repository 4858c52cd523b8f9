-- Clocks and timers for tasks.
-- In: delays in milliseconds; the clocks of the native core.
-- Out: tasks put to sleep and woken, callbacks run as tasks of their own.
-- The armed timers are a binary heap, the earliest first; equal ones fire in the order in which they were armed.
-- The scheduler (silly.task) fires what is due once a round and blocks until the next one, so sleeping costs no CPU.

local task = require "silly.task"
local core = require "silly.store.etcd.core"

local floor = math.floor

---@class silly.time
local time = {}

---@class silly.time.timer
---@field due number when, in the milliseconds of core:monotonic
---@field session integer
---@field at integer position in the heap
---@field sleeper? thread the task to wake, or else
---@field func? async fun(ud: any) what to run
---@field ud any

local heap, size = {}, 0 ---@type table<integer, silly.time.timer>, integer
local callbacks = {} ---@type table<integer, table?>
local sessions = 0

local function before(a, b)
	return a.due < b.due or (a.due == b.due and a.session < b.session)
end

local function place(timer, at)
	heap[at], timer.at = timer, at
end

local function rise(timer, at)
	while at > 1 do
		local parent = floor(at / 2)
		if not before(timer, heap[parent]) then
			break
		end
		place(heap[parent], at)
		at = parent
	end
	place(timer, at)
end

---@param timer silly.time.timer
---@param at integer
local function sink(timer, at)
	while 2 * at <= size do
		local child = 2 * at
		if child < size and before(heap[child + 1], heap[child]) then
			child = child + 1
		end
		if not before(heap[child], timer) then
			break
		end
		place(heap[child], at)
		at = child
	end
	place(timer, at)
end

local function disarm(timer)
	local last, at = heap[size], timer.at
	heap[size] = nil
	size = size - 1
	if last ~= timer then
		rise(last, at)
		sink(last, last.at)
	end
end

local function arm(name, ms, timer)
	if type(ms) ~= "number" or ms ~= ms then
		error(name .. ": milliseconds expected, got " .. (ms ~= ms and "nan" or type(ms)), 3)
	end
	sessions = sessions + 1
	timer.session = sessions
	timer.due = core:monotonic() + ms
	size = size + 1
	rise(timer, size)
	return sessions
end

local function expire(timer)
	if callbacks[timer.session] then -- another task of the same round may have cancelled it
		callbacks[timer.session] = nil
		return timer.func(timer.ud)
	end
end

task._clock(function()
	local now = size > 0 and core:monotonic()
	while size > 0 do
		local timer = heap[1]
		local sleeper = timer.sleeper
		local dead = sleeper and not task._waits(sleeper, timer)
		if timer.due > now and not dead then
			return (timer.due - now) / 1000
		end
		disarm(timer)
		if timer.func then
			task.fork(expire, timer)
		elseif sleeper then -- nothing, where it is dead
			task._wake(sleeper, timer)
		end
	end
	return nil
end, function()
	local count = 0
	for _ in pairs(callbacks) do
		count = count + 1
	end
	heap, size, callbacks = {}, 0, {}
	return count
end)

--- The wall clock.
---@nodiscard
---@return integer ms milliseconds since 1970 (UTC)
function time.now()
	return core:now()
end

--- A clock that only goes forward.
---@nodiscard
---@return integer ms milliseconds since some point in the past
function time.monotonic()
	return core:monotonic()
end

--- Suspend the running task. Raises an error where no task can be suspended.
---@async
---@param ms number 0 or less lets the other ready tasks run
function time.sleep(ms)
	local timer = { sleeper = task._owner("time.sleep") }
	arm("time.sleep", ms, timer)
	task._park("SLEEP", timer)
end

--- Run `func` later, as a task of its own.
---@param ms number
---@param func async fun(ud: any)
---@param ud? any handed to `func`; the session when nil
---@return integer session for time.cancel
function time.after(ms, func, ud)
	if type(func) ~= "function" then
		error("time.after: function expected, got " .. type(func), 2)
	end
	local timer = { func = func, ud = ud }
	local session = arm("time.after", ms, timer)
	if ud == nil then
		timer.ud = session
	end
	callbacks[session] = timer
	return session
end

--- Take back a time.after: its function will not run. Does nothing when it has run, or is running.
---@param session integer
function time.cancel(session)
	local timer = callbacks[session]
	if timer then
		callbacks[session] = nil
		if heap[timer.at] == timer then
			disarm(timer)
		end
	end
end

return time
