---@meta silly.encoding.json

-- Definitions of `silly.encoding.json`.

---@class silly.encoding.json
---@field null any stands for JSON's null, which Lua's nil cannot do inside a table
local json = {}

--- Encode a value. Not encodable: NaN, infinities, functions, threads, other userdata, tables nested too deeply.
---@nodiscard
---@param value any
---@return string? text
---@return string? err
function json.encode(value) end

--- Decode a JSON text.
---@nodiscard
---@param text string
---@return any value nil on failure
---@return string? err
function json.decode(text) end

return json
