-- Arguments that make no sense. In: endpoint, how many, seed. Out: an error unless every one of them is refused with
-- nil, a message and a table, or by newclient with an error, and the store is what it was.

local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local schema = require "spec.support.schema"

local endpoint, times, seed = ...
math.randomseed(tonumber(seed))
local random = math.random

local client = etcd.newclient { endpoints = { endpoint } }
local nobody = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 0, retry_sleep = 0, deadline = 0.05 }
local WAITS = schema.waits
local TEXTUAL = { increment = true, lock = true, campaign = true }

local CALLS, NAMES = schema.calls, {
	"timeout", "retry", "retry_sleep", "retry_unknown", "put", "get", "delete", "txn", "target", "result", "version",
	"endpoints", "user", "password", "token", "tls", "ca", "cert", "servername", "loop", 1, 2, 3, 0, -1, 1.5, true,
}
for _, name in ipairs(schema.fields) do
	NAMES[#NAMES + 1] = name
end
local TEXTS = { "", "a", "\0", "\255\254", "0x10", "-1", "9223372036854775808", "1e3", "PUT", "NONE" }

local thing

local function raise() error("on purpose") end

-- Sometimes shared, sometimes inside itself, sometimes with metamethods that raise, yield or lie.
local shared = {}
local function object(depth)
	if depth > 4 or random(8) == 1 then
		return shared[random(#shared + 1)] or {}
	end
	local made = {}
	shared[#shared < 50 and #shared + 1 or random(50)] = made
	for _ = 1, random(0, 5) do
		made[NAMES[random(#NAMES)]] = thing(depth + 1)
	end
	for i = 1, random(5) == 1 and random(4) or 0 do
		made[i] = thing(depth + 1)
	end
	local kind = random(20)
	if kind == 1 then
		setmetatable(made, { __index = raise })
	elseif kind == 2 then
		setmetatable(made, { __index = coroutine.yield })
	elseif kind == 3 then
		setmetatable(made, { __index = function() return thing(depth + 1) end, __len = raise, __pairs = raise })
	elseif kind == 4 then
		setmetatable(made, { __index = shared[random(#shared)], __tostring = raise, __gc = raise, __mode = "kv" })
	elseif kind == 5 then
		setmetatable(made, { __metatable = false, __name = ("n"):rep(1000), __close = raise, __eq = raise })
	end
	return made
end

local MAKERS = {
	function() return random(-3, 70000) end,
	function() return random(math.mininteger, math.maxinteger) end,
	function() return ({ 0 / 0, 1 / 0, -1 / 0, 1e300, -0.0, 0.1, 2 ^ 53, 2 ^ 63, 5e-324, 1e9 })[random(10)] end,
	function() return random(2) == 1 end,
	function() return TEXTS[random(#TEXTS)] end,
	function() return ("x"):rep(random(0, 3) * 30000) end,
	function() return NAMES[random(#NAMES)] end,
	function() return print end,
	function() return raise end,
	function() return coroutine.create(raise) end,
	function() return io.stdout end,
	function() return client end,
	function() return core end,
	function() return nil end,
}

function thing(depth)
	if random(3) == 1 then
		return object(depth)
	end
	return MAKERS[random(#MAKERS)]()
end

local function refused(call, answer, message, info)
	assert(answer == nil, call .. " was answered")
	assert(type(message) == "string" and type(info) == "table" and type(info.code) == "string", message)
	assert(info.applied == "no" or info.applied == "maybe")
	return info.code
end

local revision = assert(client:get { key = "a" }).header.revision

for _ = 1, tonumber(times) do
	-- As it comes, to a server that is not there.
	local call, request = CALLS[random(#CALLS)], thing(0)
	local is_plain = type(request) == "table" and not getmetatable(request)
	if is_plain then
		request.timeout, request.retry, request.retry_sleep = 0.2, 0, 0
		request.wait = WAITS[call] and 0.01 or request.wait
	end
	-- A function that neither reads nor writes is a good transaction.
	if not (call == "leases" and type(request) ~= "table" or WAITS[call] and not is_plain or call == "stm") then
		refused(call, schema.run(nobody, call, request))
	end

	-- With something in it that is certainly wrong, to the real one.
	call, request = CALLS[random(#CALLS)], object(0)
	if request ~= nil and not getmetatable(request) then
		request[({ "nonsense", 1.5, true, print })[random(4)]] = random(2) == 1 or {}
		local code = refused(call, schema.run(client, call, request))
		assert(code == "invalid_argument", code)
	end

	local ok, made = pcall(etcd.newclient, thing(0))
	assert(ok or type(made) == "string", "newclient raised no text")
	pcall(core.tojson, core, thing(0))
	pcall(core.fromjson, core, thing(2))
	pcall(core.wait, core, random(2) == 1 and 0 or object(3))
	-- On whatever there is, the real client too; to that a text alone is a good request for some writes.
	call = CALLS[random(#CALLS)]
	if not TEXTUAL[call] and not WAITS[call] then
		pcall(schema.method(nobody, call), thing(0), thing(0))
	end
end

local stream = assert(client:watch { key = "a" })
for _ = 1, 200 do
	local seconds = thing(2)
	if type(seconds) ~= "nil" and type(seconds) ~= "number" then
		assert(refused("watch", stream:read(seconds)) == "invalid_argument")
	end
end
assert(assert(client:get { key = "a" }).header.revision == revision, "something has reached the store")
