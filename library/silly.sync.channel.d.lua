---@meta silly.sync.channel

-- Definitions of `silly.sync.channel`: a queue of values from any number of tasks to one.

---@class silly.sync.channel
---@field reason any why it was closed, nil while it is open
local channel = {}

--- An open, empty channel.
---@nodiscard
---@return silly.sync.channel
function channel.new() end

--- Send a value; never waits.
---@param value any
---@return boolean ok
---@return any reason when not ok: the reason of the close, or "Nil data" where the value is nil or false
function channel:push(value) end

--- Receive the next value, suspending the running task while there is none.
---@async
---@nodiscard
---@return any value nil when there is none and will be none
---@return any reason that of the close, or "Channel is mpsc" where another task waits; nil where others woke the task
function channel:pop() end

--- Drop the queued values.
function channel:clear() end

--- Close: later pushes fail, and so does pop once the queued values are gone. The reason of the last close counts.
---@param reason? any "channel closed" by default
function channel:close(reason) end

return channel
