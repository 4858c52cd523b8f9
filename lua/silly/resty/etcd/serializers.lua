-- How values are written to strings and read from them: `serialize` and `deserialize`, each of which returns nil and a
-- message where it fails. In: the option `serializer`. Out: one of them.

local function json()
	local found, cjson = pcall(require, "cjson.safe")
	if not found then
		cjson = require "silly.encoding.json"
	end
	return { serialize = cjson.encode, deserialize = cjson.decode }
end

---@class silly.resty.etcd.serializer
---@field serialize fun(value: any): string?, string?
---@field deserialize fun(text: string): any

local raw = {
	serialize = function(value)
		if type(value) ~= "string" then
			return nil, "unsupported type for " .. type(value)
		end
		return value
	end,
	deserialize = function(text) return text end,
}

local M = {}

--- A name that is neither one of these nor a module of the program's is JSON, as it is for lua-resty-etcd.
---@param name any
---@return silly.resty.etcd.serializer
function M.find(name)
	if name == "raw" then
		return raw
	elseif type(name) == "string" and name ~= "json" then
		local found, serializer = pcall(require, "resty.etcd.serializers." .. name)
		if found then
			---@cast serializer silly.resty.etcd.serializer
			return serializer
		end
	end
	return json()
end

return M
