-- The bodies of responses as etcd's HTTP gateway writes them in JSON, and lua-resty-etcd decodes them: integers of 64
-- bits are strings; what is zero, false or empty is absent. In: a response of `silly.store.etcd`, and a codec, two
-- functions `key` and `value` for the bytes of key-value pairs. Out: the body.

local base64 = require "silly.resty.etcd.base64"

local M = {}

-- An unsigned integer beyond 2^63, which is negative in Lua.
local function unsigned(value)
	local hex = ("%x"):format(value)
	local high, low = tonumber(hex:sub(1, 8), 16) or 0, tonumber(hex:sub(9), 16) or 0
	-- 2^32 is 4,294,967,296.
	local rest = high * 294967296 + low
	return ("%d%09d"):format(high * 4 + math.floor((rest - rest % 1000000000) / 1e9 + 0.5), rest % 1000000000)
end

local function int(value)
	if type(value) == "string" then
		return value
	elseif value ~= 0 then
		return ("%d"):format(value)
	end
end

local function id(value)
	if type(value) == "number" and value < 0 then
		return unsigned(value)
	end
	return int(value)
end

local function flag(value)
	return value or nil
end

local function text(value)
	return value ~= "" and value or nil
end

local function kind(value)
	return value ~= "PUT" and value or nil
end

local function key(value, codec)
	return codec.key(value)
end

local function value_of(value, codec)
	return codec.value(value)
end

-- A message: the names of its fields, each followed by the function for its value.
local function record(fields)
	return function(message, codec)
		local body = {}
		for i = 1, #fields, 2 do
			local value = message[fields[i]]
			if value ~= nil then
				body[fields[i]] = fields[i + 1](value, codec)
			end
		end
		return body
	end
end

local function list(of)
	return function(messages, codec)
		local bodies = {}
		for i = 1, #messages do
			bodies[i] = of(messages[i], codec)
		end
		return bodies[1] and bodies or nil
	end
end

local header = record { "cluster_id", id, "member_id", id, "revision", int, "raft_term", id }
local kv = record {
	"key", key, "create_revision", int, "mod_revision", int, "version", int, "value", value_of, "lease", int,
}

-- What an event was before has its value decoded even where that is empty.
local function prev_kv(message, codec)
	return kv(message, codec.before or codec)
end

M.range = record { "header", header, "kvs", list(kv), "more", flag, "count", int }
M.put = record { "header", header, "prev_kv", kv }
M.delete = record { "header", header, "deleted", int, "prev_kvs", list(kv) }
M.grant = record { "header", header, "ID", int, "TTL", int }
M.revoke = record { "header", header }
M.ttl = record { "header", header, "ID", int, "TTL", int, "grantedTTL", int, "keys", list(text) }
M.leases = record { "header", header, "leases", list(record { "ID", int }) }
M.watch = record {
	"header", header, "events", list(record { "type", kind, "kv", kv, "prev_kv", prev_kv }),
}

-- An operation of a transaction -> the field of its response, and the message in it.
local OPERATIONS = {
	get = { "response_range", M.range },
	put = { "response_put", M.put },
	delete = { "response_delete_range", M.delete },
}

local function operation(message, codec)
	local name, response = next(message)
	local field = OPERATIONS[name]
	return { [field[1]] = field[2](response, codec) }
end

M.txn = record { "header", header, "succeeded", flag, "responses", list(operation) }
OPERATIONS.txn = { "response_txn", M.txn }

M.header = header

local function encoded(bytes)
	return bytes ~= "" and base64.encode(bytes) or nil
end

local function itself(bytes)
	return bytes
end

--- Of responses that lua-resty-etcd leaves as they come: base64.
M.encoded = { key = encoded, value = encoded }

--- Of reads.
---@param serializer silly.resty.etcd.serializer
function M.decoded(serializer)
	return { key = itself, value = serializer.deserialize }
end

--- Of watches: a put of an empty value has no `value`, and so has a deletion.
---@param serializer silly.resty.etcd.serializer
function M.watched(serializer)
	return {
		key = itself,
		value = function(bytes)
			if bytes ~= "" then
				return serializer.deserialize(bytes)
			end
		end,
		before = M.decoded(serializer),
	}
end

return M
