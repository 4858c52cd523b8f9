---@meta silly

-- Definitions of `silly`, the standalone runtime for plain Lua. Those of the modules below it are beside this file.

---@class silly
local silly = {}

--- The same as `silly.time.sleep`.
---@async
---@param ms number 0 or less lets the other ready tasks run
function silly.sleep(ms) end

--- The same as `silly.task.run`.
---@param func? async fun(...: any) main
---@param ... any arguments for it
---@return boolean ended false when tasks were left that nothing can wake; stderr tells
function silly.run(func, ...) end

--- End the process at once, from wherever; the Lua state is closed first where Lua can do that (5.2 and later).
---@param code? integer exit status, 0 by default
function silly.exit(code) end

--- pcall whose error comes with a traceback, as one string.
silly.pcall = pcall

return silly
