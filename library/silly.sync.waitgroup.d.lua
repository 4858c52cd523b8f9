---@meta silly.sync.waitgroup

-- Definitions of `silly.sync.waitgroup`: wait until a number of forked tasks are over.

---@class silly.sync.waitgroup
---@field count integer how many of its tasks have not ended
local waitgroup = {}

--- A wait group without tasks.
---@nodiscard
---@return silly.sync.waitgroup
function waitgroup.new() end

--- Fork `func` as a task of this group.
---@param func async fun()
---@return thread task
function waitgroup:fork(func) end

--- Suspend the running task until every task of the group has ended; returns at once when there is none.
---@async
function waitgroup:wait() end

return waitgroup
