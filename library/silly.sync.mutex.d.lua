---@meta silly.sync.mutex

-- Definitions of `silly.sync.mutex`: one object guards any number of keys.

---@class silly.sync.mutex
local mutex = {}

--- What keeps a key locked until it is unlocked; `<close>` does that too.
---@class silly.sync.mutex.guard
local guard = {}

--- Unlock; a second time does nothing. The key goes to the task that has waited longest.
function guard:unlock() end

--- A mutex without locked keys.
---@nodiscard
---@return silly.sync.mutex
function mutex.new() end

--- Lock `key`, suspending the running task while another one holds it.
---@async
---@nodiscard
---@param key any not nil
---@return silly.sync.mutex.guard
function mutex:lock(key) end

return mutex
