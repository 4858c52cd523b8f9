---@meta silly.time

-- Definitions of `silly.time`: clocks and timers for tasks, in milliseconds.

---@class silly.time
local time = {}

--- The wall clock.
---@nodiscard
---@return integer ms milliseconds since 1970 (UTC)
function time.now() end

--- A clock that only goes forward.
---@nodiscard
---@return integer ms milliseconds since some point in the past
function time.monotonic() end

--- Suspend the running task. Raises an error where no task can be suspended.
---@async
---@param ms number 0 or less lets the other ready tasks run
function time.sleep(ms) end

--- Run `func` later, as a task of its own.
---@param ms number
---@param func async fun(ud: any)
---@param ud? any handed to `func`; the session when nil
---@return integer session for time.cancel
function time.after(ms, func, ud) end

--- Take back a time.after: its function will not run. Does nothing when it has run, or is running.
---@param session integer
function time.cancel(session) end

return time
