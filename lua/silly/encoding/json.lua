-- JSON by the native core (serde_json).
-- In: Lua values, or JSON text. Out: JSON text, or Lua values; a failure is nil and a message, never an error.
-- A table with an element 1 is an array up to its length, an empty one is the array [], any other an object with
-- string keys. JSON's null is json.null, in both directions.

require "silly.store.etcd"
local core = require "silly.store.etcd.core"

---@class silly.encoding.json
local json = { null = core:fromjson("null") }

--- Encode a value. Not encodable: NaN, infinities, functions, threads, other userdata, tables nested too deeply.
---@nodiscard
---@param value any
---@return string? text
---@return string? err
function json.encode(value)
	return core:tojson(value)
end

--- Decode a JSON text.
---@nodiscard
---@param text string
---@return any value nil on failure
---@return string? err
function json.decode(text)
	return core:fromjson(text)
end

return json
