-- The tables of messages at random, beside what prost says that the messages are. Runs on every Lua from 5.1 on, with a
-- debug build of the library.
-- In: how many messages at random. Out: an error that shows the message for which the two differ.

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"

assert(etcd and core.oracle, "the library is no debug build")

-- Fields as prost has them: number, name, kind. Kinds are those of the schema, and the names of messages.
local SCHEMA = {
	ResponseHeader = {
		{ 1, "cluster_id", "unsigned" }, { 2, "member_id", "unsigned" }, { 3, "revision", "signed" },
		{ 4, "raft_term", "unsigned" },
	},
	KeyValue = {
		{ 1, "key", "bytes" }, { 2, "create_revision", "signed" }, { 3, "mod_revision", "signed" },
		{ 4, "version", "signed" }, { 5, "value", "bytes" }, { 6, "lease", "signed" },
	},
	RangeResponse = {
		{ 1, "header", "ResponseHeader" }, { 2, "kvs", "KeyValue", list = true }, { 3, "more", "flag" },
		{ 4, "count", "signed" },
	},
	PutResponse = { { 1, "header", "ResponseHeader" }, { 2, "prev_kv", "KeyValue" } },
	DeleteRangeResponse = {
		{ 1, "header", "ResponseHeader" }, { 2, "deleted", "signed" }, { 3, "prev_kvs", "KeyValue", list = true },
	},
	ResponseOp = {
		{ 1, "get", "RangeResponse", variant = "ResponseRange" }, { 2, "put", "PutResponse", variant = "ResponsePut" },
		{ 3, "delete", "DeleteRangeResponse", variant = "ResponseDeleteRange" },
		{ 4, "txn", "TxnResponse", variant = "ResponseTxn" },
	},
	TxnResponse = {
		{ 1, "header", "ResponseHeader" }, { 2, "succeeded", "flag" }, { 3, "responses", "ResponseOp", list = true },
	},
	Event = { { 1, "type", "type", rust = "r#type" }, { 2, "kv", "KeyValue" }, { 3, "prev_kv", "KeyValue" } },
	WatchResponse = {
		{ 1, "header", "ResponseHeader" }, { 2, "watch_id", "signed" }, { 3, "created", "flag" }, { 4, "canceled", "flag" },
		{ 5, "compact_revision", "signed" }, { 6, "cancel_reason", "text" }, { 7, "fragment", "flag" },
		{ 11, "events", "Event", list = true },
	},
}

-- A number as text. Where a Lua has integers the unsigned ones are there by their bits.
local unsigned = math.type and load [[
	local number = ...
	local tenth = (number >> 1) // 5
	return number < 0 and ("%d%d"):format(tenth, number - tenth * 10) or ("%d"):format(number)
]]

local function number(value, kind)
	if type(value) == "string" then
		return value
	elseif not math.type then
		return ("%.0f"):format(value)
	end
	return kind == "unsigned" and unsigned(value) or ("%d"):format(value)
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"', ["\0"] = "\\0" }

-- With what is not printable in this format.
local function quoted(value, format)
	return '"' .. value:gsub(".", function(char)
		local byte = char:byte()
		return ESCAPES[char] or (byte < 32 or byte > 126) and format:format(byte) or char
	end) .. '"'
end

local KINDS = {
	signed = number, unsigned = number, flag = tostring,
	bytes = function(value) return "b" .. quoted(value, "\\x%02x") end,
	text = function(value) return quoted(value, "\\u{%x}") end,
	type = function(value) return ({ PUT = "Put", DELETE = "Delete" })[value] or number(value) end,
}

local show

-- The text of a field.
local function shown(held, field)
	local kind = field[3]
	if field.list then
		local items = {}
		for i, item in ipairs(held) do
			items[i] = show(kind, item)
		end
		return "[" .. table.concat(items, ", ") .. "]"
	elseif SCHEMA[kind] then
		return held and "Some(" .. show(kind, held) .. ")" or "None"
	end
	return KINDS[kind](held, kind)
end

-- The text of a table, as prost writes that of the message. Nothing may be there that the schema has not.
function show(name, value)
	local parts, known = {}, {}
	for _, field in ipairs(SCHEMA[name]) do
		local key = field[2]
		known[key] = true
		if not field.variant then
			parts[#parts + 1] = (field.rust or key) .. ": " .. shown(value[key], field)
		elseif value[key] then
			parts[#parts + 1] = ("response: Some(%s(%s))"):format(field.variant, show(field[3], value[key]))
		end
	end
	for key in pairs(value) do
		assert(known[key], "no such field: " .. tostring(key))
	end
	return name .. " { " .. (#parts > 0 and table.concat(parts, ", ") or "response: None") .. " }"
end

local function hex(bytes)
	return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
end

local accepted, refused = 0, 0

local function check(name, bytes)
	local received, decoded, text = core:oracle(name, bytes)
	for way, value in pairs { received = received or false, decoded = decoded or false } do
		local seen = value and show(name, value) or nil
		if seen ~= text then
			error(("%s %s, %s:\n%s\n%s"):format(name, hex(bytes), way, tostring(seen), tostring(text)))
		end
	end
	if text then
		accepted = accepted + 1
	else
		refused = refused + 1
	end
end

-- Numbers as they lie on the wire: small ones, at both ends, written longer than they need, and those that are none.
local NUMBERS = {
	"\0", "\1", "\2", "\127", "\128\1", "\255\255\255\255\255\255\255\15", "\128\128\128\128\128\128\128\16",
	"\255\255\255\255\255\255\255\255\127", "\128\128\128\128\128\128\128\128\128\1",
	"\255\255\255\255\255\255\255\255\255\1", "\129\128\0",
}
local NONE = { "\128", "\255\255\255\255\255\255\255\255\255\2", "\128\128\128\128\128\128\128\128\128\128\1" }
local STRINGS = { "", "a", "key\0with\255", ("long"):rep(40), "\n\\\"" }
-- Fields that nobody knows, and a group.
local UNKNOWN = { "\192\62\1", "\194\62\3abc", "\197\62\0\0\0\0", "\193\62\0\0\0\0\0\0\0\0", "\123\8\1\124" }

local function varint(count)
	if count < 128 then
		return string.char(count)
	end
	return string.char(count % 128 + 128) .. varint(math.floor(count / 128))
end

local function pick(list) return list[math.random(#list)] end

local function chance(one_in) return math.random(one_in) == 1 end

-- A value behind the key of its field.
local function field(tag, kind, depth, message)
	local value
	if SCHEMA[kind] then
		value = depth > 0 and message(kind, depth - 1) or ""
	elseif kind == "bytes" or kind == "text" then
		value = kind == "text" and "reason" or pick(STRINGS)
	else
		return varint(tag * 8) .. (chance(100) and pick(NONE) or pick(NUMBERS))
	end
	return varint(tag * 8 + 2) .. varint(#value) .. value
end

-- A message: each field there or not, in any order, some more than once.
local function message(name, depth)
	local parts = {}
	for _, of in ipairs(SCHEMA[name]) do
		for _ = 1, of.list and math.random(0, 3) or chance(10) and 2 or math.random(0, 1) do
			table.insert(parts, chance(4) and math.random(#parts + 1) or #parts + 1, field(of[1], of[3], depth, message))
		end
	end
	if chance(8) then
		table.insert(parts, pick(UNKNOWN))
	end
	return table.concat(parts)
end

local TOP = { "RangeResponse", "TxnResponse", "WatchResponse" }

-- Every way to end early.
for _, name in ipairs(TOP) do
	for _ = 1, 5 do
		local whole = message(name, 3)
		for length = 0, #whole do
			check(name, whole:sub(1, length))
		end
	end
end

for _ = 1, tonumber((...)) do
	local name = pick(TOP)
	local whole = message(name, 4)
	check(name, whole)
	local at = math.random(#whole + 1)
	check(name, whole:sub(1, at - 1) .. string.char(math.random(0, 255)) .. whole:sub(at + math.random(0, 1)))
end

-- Nested as deep as prost reads, and deeper.
local nested = ""
for _ = 1, 55 do
	check("TxnResponse", nested)
	nested = "\34" .. varint(#nested) .. nested
	nested = "\26" .. varint(#nested) .. nested
end

-- Many.
local pair = field(2, "KeyValue", 1, message)
check("RangeResponse", pair:rep(5000))
check("WatchResponse", ("\90\4\18\2\10\0"):rep(3000))

assert(accepted > 100 and refused > 100, "one kind of message is missing")
print(accepted, refused)
