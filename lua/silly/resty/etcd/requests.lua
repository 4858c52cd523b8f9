-- Requests of lua-resty-etcd as `silly.store.etcd` takes them. In: the tables of the program, which are not changed:
-- names in either of the two ways that JSON has for them (`requestPut`, `request_put`), enums as names or numbers. Out:
-- requests; nil and a message where a value cannot be serialized.
--
-- In transactions lua-resty-etcd prefixes and encodes the keys and values of `compare` and of a `requestPut` of
-- `success`. All others are base64 already, with their whole keys.

local base64 = require "silly.resty.etcd.base64"

local M = {}

-- Enums by their numbers, the first of which is 0.
local ORDER = { "NONE", "ASCEND", "DESCEND" }
local TARGET = { "KEY", "VERSION", "CREATE", "MOD", "VALUE" }
local FILTER = { "NOPUT", "NODELETE" }
local RESULT = { "EQUAL", "GREATER", "LESS", "NOT_EQUAL" }
local COMPARED = { "VERSION", "CREATE", "MOD", "VALUE", "LEASE" }

-- What is compared -> its operand.
local OPERAND = {
	VERSION = "version", CREATE = "create_revision", MOD = "mod_revision", VALUE = "value", LEASE = "lease",
}

local function name(names, value)
	return type(value) == "number" and names[value + 1] or value
end

local function snake(fields)
	local copy = {}
	for field, value in pairs(fields) do
		copy[field:gsub("(%l)(%u)", function(last, first) return last .. "_" .. first:lower() end)] = value
	end
	return copy
end

local function decoded(bytes)
	return bytes and base64.decode(bytes)
end

-- The bytes of a part of a transaction that come as base64.
local RAW = { key = decoded, value = decoded }

-- How keys and values become bytes: those of a part that the client encodes.
local function plain(prefix, serializer)
	return {
		key = function(key) return prefix .. (key or "") end,
		value = function(value)
			local text, problem = serializer.serialize(value)
			if text == nil then
				error({ "failed to encode value: " .. tostring(problem) })
			end
			return text
		end,
	}
end

local function each(rules, make, codec)
	local list = {}
	for i, rule in ipairs(rules or {}) do
		list[i] = make(rule, codec)
	end
	return list
end

local function compare(rule, codec)
	local fields = snake(rule)
	local target = name(COMPARED, fields.target) or "VERSION"
	local operand = OPERAND[target] or "version"
	local value = fields[operand]
	if target == "VALUE" then
		value = value ~= nil and codec.value(value) or ""
	end
	return {
		key = codec.key(fields.key),
		range_end = decoded(fields.range_end),
		target = target,
		result = name(RESULT, fields.result) or "EQUAL",
		[operand] = value or 0,
	}
end

local function range(rule)
	local fields = snake(rule)
	fields.key, fields.range_end = decoded(fields.key), decoded(fields.range_end)
	fields.sort_order, fields.sort_target = name(ORDER, fields.sort_order), name(TARGET, fields.sort_target)
	return fields
end

local operation

local function txn(rule)
	return {
		compare = each(rule.compare, compare, RAW),
		success = each(rule.success, operation, RAW),
		failure = each(rule.failure, operation, RAW),
	}
end

function operation(rule, codec)
	local fields = snake(rule)
	if fields.request_put then
		local put = snake(fields.request_put)
		put.key, put.value = codec.key(put.key), codec.value(put.value)
		return { put = put }
	end
	return {
		get = fields.request_range and range(fields.request_range),
		delete = fields.request_delete_range and range(fields.request_delete_range),
		txn = fields.request_txn and txn(fields.request_txn),
	}
end

--- A transaction.
---@param self silly.resty.etcd.client
---@return table? request
---@return string? message
function M.txn(self, comparisons, success, failure)
	local codec = plain(self.key_prefix, self.serializer)
	local done, result = pcall(function()
		return {
			compare = each(comparisons, compare, codec),
			success = each(success, operation, codec),
			failure = each(failure, operation, RAW),
		}
	end)
	if done then
		return result
	elseif type(result) == "table" then
		return nil, result[1]
	end
	error(result, 0)
end

-- A number that is not above 0 is the newest revision. What is no number is refused by the client.
local function revision(value)
	local number = tonumber(value)
	if number and number <= 0 then
		return nil
	end
	return value
end

--- The part of a read that the options say.
function M.range(key, directory, opts)
	return {
		key = key,
		prefix = directory,
		revision = revision(opts.revision),
		limit = directory and opts.limit or nil,
		sort_order = directory and name(ORDER, opts.sort_order) or nil,
		sort_target = directory and name(TARGET, opts.sort_target) or nil,
		keys_only = directory and opts.keys_only or nil,
		count_only = directory and opts.count_only or nil,
	}
end

--- The part of a watch that the options say.
function M.watch(key, directory, opts)
	local filters = opts.filters
	if filters ~= nil and type(filters) ~= "table" then
		filters = { filters }
	end
	return {
		-- etcd watches this key in place of an empty one.
		key = (directory or key ~= "") and key or "\0",
		prefix = directory,
		revision = revision(opts.start_revision),
		progress_notify = opts.progress_notify and true or nil,
		prev_kv = opts.prev_kv and true or nil,
		filters = filters and each(filters, function(filter) return name(FILTER, filter) end),
	}
end

return M
