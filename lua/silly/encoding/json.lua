-- JSON by the native core (serde_json).
-- In: Lua values, or JSON text. Out: JSON text, or Lua values; a failure is nil and a message, never an error.
-- A table with an element 1 is an array up to its length, an empty one is the array [], any other an object with
-- string keys. JSON's null is json.null, in both directions.

require "silly.store.etcd"
local core = require "silly.store.etcd.core"

---@class silly.encoding.json
---@field null any stands for JSON's null, which Lua's nil cannot do inside a table
local json = { null = core:fromjson("null") }

--- Encode a value. Not encodable: NaN, infinities, functions, threads, other userdata, tables nested too deeply.
---@param value any
---@return string|nil text
---@return string|nil err
function json.encode(value)
	return core:tojson(value)
end

--- Decode a JSON text.
---@param text string
---@return any value nil on failure
---@return string|nil err
function json.decode(text)
	return core:fromjson(text)
end

return json
