-- Reads bytes as Lua values and hands them to the module. In: a string. Out: an error if a call throws, is answered
-- though the client is closed, or answers a failure in another shape than nil, message, info.

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local schema = ... -- spec/support/schema.lua

-- Closed, so that what is a good request after all does not have to wait for its retries.
local client = etcd.newclient { endpoints = { "127.0.0.1:1" } }
client:close()

local CALLS, NAMES = schema.calls, {
	"timeout", "retry", "retry_sleep", "retry_unknown", "put", "get", "delete", "txn", "target", "result", "version",
	"create_revision", "mod_revision", "endpoints", "user", "password", "token", "tls", "ca", "cert", "servername",
	"insecure_skip_verify", "loop",
}
for _, name in ipairs(schema.fields) do
	NAMES[#NAMES + 1] = name
end
local WORDS = {
	"", "a", "\0", "\255", "PUT", "NONE", "ASCEND", "KEY", "VALUE", "VERSION", "CREATE", "MOD", "LEASE", "EQUAL",
	"GREATER", "LESS", "NOT_EQUAL", "NOPUT", "NODELETE", "DELETE", "0x7fffffffffffffff", "-9223372036854775808",
	"9223372036854775808", "1e3", "127.0.0.1:1", "https://a:1", "unix:///a", "[::1]:1",
}
local NUMBERS = {
	0, 1, -1, 0.5, 1 / 0, -1 / 0, 0 / 0, 2 ^ 53, 2 ^ 63, -2 ^ 63, 1e300, math.maxinteger, math.mininteger,
}

local bytes, at, made

local function byte()
	at = at + 1
	return bytes:byte(at) or 0
end

local function raise() error("on purpose") end

local value

local function object(depth)
	local self = {}
	made[#made + 1] = self
	for _ = 1, byte() % 8 do
		self[NAMES[byte() % #NAMES + 1]] = value(depth + 1)
	end
	for i = 1, byte() % 4 do
		self[i] = value(depth + 1)
	end
	local kind = byte()
	if kind > 250 then
		setmetatable(self, { __index = raise })
	elseif kind > 245 then
		setmetatable(self, { __index = coroutine.yield })
	elseif kind > 240 then
		setmetatable(self, { __index = made[byte() % #made + 1], __len = raise, __pairs = raise })
	elseif kind > 235 then
		self[byte()] = value(depth + 1)
	end
	return self
end

function value(depth)
	local kind = byte() % 12
	if kind < 4 and depth < 6 then
		return object(depth)
	elseif kind < 6 then
		return WORDS[byte() % #WORDS + 1]
	elseif kind == 6 then
		return NUMBERS[byte() % #NUMBERS + 1]
	elseif kind == 7 then
		return byte() % 2 == 0
	elseif kind == 8 then
		return byte()
	elseif kind == 9 then
		local length = byte()
		at = at + length
		return bytes:sub(at - length + 1, at)
	elseif kind == 10 then
		return made[byte() % (#made + 1) + 1]
	end
	return ({ print, client, core, io.stdout })[byte() % 4 + 1]
end

return function(text)
	bytes, at, made = text, 0, {}
	local choice = byte() % (#CALLS + 4) + 1
	local call = CALLS[choice]
	local argument = value(0)
	if call then
		local answer, message, info = schema.run(client, call, argument)
		assert(answer == nil, "answered")
		assert(type(message) == "string" and type(info.code) == "string" and info.applied)
	elseif choice == #CALLS + 1 then
		local ok, message = pcall(etcd.newclient, argument)
		assert(ok or type(message) == "string")
	elseif choice == #CALLS + 2 then
		local json, message = core:tojson(argument)
		assert(json == nil and type(message) == "string" or type(json) == "string")
	elseif choice == #CALLS + 3 then
		core:fromjson(bytes:sub(at))
	else
		local json = core:tojson(argument)
		if json then
			assert(core:tojson(core:fromjson(json)))
		end
	end
end
