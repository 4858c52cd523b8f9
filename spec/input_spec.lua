-- Bad requests: what each call refuses by itself, how it says so, and what it accepts.
-- In: tables of fields and values, and a server that does not exist: a request that is let through is answered with
-- `unavailable`, and only one that never left with `invalid_argument`. Out: nil, message and info, or the error that
-- newclient throws.
-- C and a number before a spec's name is the goal of the project that it proves.

local etcd = require "silly.store.etcd"
local schema = require "spec.support.schema"
local server = require "spec.support.etcd"

local NOWHERE = { endpoints = { "unix:///nowhere/etcd.sock" }, retry = 0 }
local nowhere = etcd.newclient(NOWHERE)
local NAN, HUGE = 0 / 0, math.huge
local LONG = ("x"):rep(1 << 20)
local function noop() end

-- Values of types that no field takes.
local others = { noop, coroutine.create(noop), io.stdout }

-- What a field may and may not be, by its kind.
local naturals = { 0, 1, 1.0, 2 ^ 53, "1", "0x7f", math.maxinteger, "9223372036854775807", "0x7fffffffffffffff" }
local no_id = {
	true, {}, 1.5, NAN, HUGE, -HUGE, 2 ^ 64, -2 ^ 63 - 2048, 1e300, "", "-", "x", "1.5", "1e3", " 1", "1 ", "1\0", "0x",
	"x1", "0xg", "--1", "1\n2", "\xff", "nan", "inf", "18446744073709551616", "-9223372036854775809", ("9"):rep(100),
	"0x10000000000000000", "-0x8000000000000001", "0x" .. ("f"):rep(100), "-0x" .. ("f"):rep(100),
}
-- Only an id may be written as a uint64.
local unsigned = {
	2 ^ 63, 2 ^ 64 - 2048, "9223372036854775808", "13803658152347727308", "18446744073709551615", "0x8000000000000000",
	"0xffffffffffffffff",
}

local function list(...)
	local all = {}
	for _, values in ipairs { ... } do
		table.move(values, 1, #values, #all + 1, all)
	end
	return all
end

local function choice(...)
	return { good = { ... }, bad = { "", "none", "key", "NONE\0", "A\nB", 0, 1.5, true, {} } }
end

local no_integer = list(no_id, unsigned)
local negatives = { -1, -1.0, -2 ^ 63, "-1", "-0x1", math.mininteger, "-9223372036854775808" }
local INTEGER = { good = list(naturals, negatives), bad = no_integer }
local ID = { good = list(naturals, negatives, unsigned), bad = no_id }
local NATURAL = { good = naturals, bad = list(no_integer, negatives) }
local BYTES = { good = { "", "x", "\0\xff\xc3" }, bad = { 1, 1.5, true, {} } }
local FLAG = { good = { true, false }, bad = { 0, 1, 1.5, "", "true", {} } }
local LIST = {
	good = { {} }, bad = { 1, "x", true, { x = 1 }, { [2] = {} }, { [0] = {} }, { [1.5] = {} }, { [noop] = 1 } },
}
local RESULT = choice("EQUAL", "GREATER", "LESS", "NOT_EQUAL", "=", ">", "<", "!=")
local FILTERS = { good = { {}, { "NOPUT" }, { "NODELETE", "NOPUT" } }, bad = list(LIST.bad, { { "PUT" }, { 1 } }) }
local ENDPOINTS = { good = { { "a:1", "b:2" } }, bad = list(LIST.bad, { {} }) }
local LOOP = { good = { "standalone" }, bad = { 1, true, {}, "" } }
local TIMEOUT = { good = { 0.001, 1, 5.5, HUGE, 1e300 }, bad = { 0, -1, -0.5, NAN, -HUGE, "x", true, {} } }
-- A request that retries would not end.
local RETRY = { good = { 0, 0.0, "0", "0x0" }, bad = NATURAL.bad }

local function with(fields, more)
	local all = {}
	for _, source in ipairs { fields, more } do
		for name, kind in pairs(source) do
			all[name] = kind
		end
	end
	return all
end

-- Long enough for a busy machine.
local DEADLINE = { good = { 60, 100.5, HUGE }, bad = list(TIMEOUT.bad, { 1e8 + 1, os.time(), 1e300 }) }
local HEADERS = {
	good = { {}, { traceparent = "00-1" }, { Upper = "" }, { ["x-bin"] = "\0\xff" } },
	bad = {
		1, "x", true, { "x" }, { [true] = "x" }, { x = 1 }, { x = {} }, { [""] = "x" }, { ["a b"] = "x" },
		{ [":path"] = "x" }, { x = "\n" }, { x = "\xff" }, { token = "x" }, { Token = "x" },
		{ ["grpc-timeout"] = "1S" }, { host = "x" }, { x = ("x"):rep(8192) },
	},
}
local OPTIONS = {
	timeout = TIMEOUT, retry = RETRY, retry_sleep = NATURAL, retry_unknown = FLAG, deadline = DEADLINE, headers = HEADERS,
}
local ENDPOINT = { good = { "unix:///nowhere/etcd.sock" }, bad = { "", "x", "127.0.0.1:1", 1, true, {} } }
local RANGE = { key = BYTES, prefix = FLAG, fromkey = FLAG, range_end = BYTES }

-- What a field of a request may be, by what it holds; and those that are stricter or laxer than that.
local NAME = { good = { "a", "gateway/7 (x)" }, bad = { "", "\n", "\xc3\xbc", ("x"):rep(256), 1, true, {} } }
-- Of it 0 would let nothing through.
local SIZE = { good = { 1, 1.0, 2 ^ 53, "1", "0x7f", math.maxinteger }, bad = list({ 0, "0" }, NATURAL.bad) }
local BALANCE = { good = { "sticky", "leader" }, bad = { "", "Leader", "best", 1, true, {} } }
local INTERVAL = { good = { 1, 1.5, math.huge }, bad = { 0, 0.5, -1, 0 / 0, "x", true, {} } }
local NAMESERVERS = {
	good = { {}, { "127.0.0.1" }, { "127.0.0.1:53", "[::1]:53", "::1" } },
	bad = { "127.0.0.1", { "dns" }, { "127.0.0.1:x" }, { 1 }, { a = 1 }, 1, true },
}
local VERSION = { good = { "3.5", "3.5.1", "4.0.0-rc.1" }, bad = { "", "3", "v3.5", "3.5.1.2", "new", 3.5, true, {} } }
local TEXT = { good = { "", "x", "\xc3\xbc" }, bad = list(BYTES.bad, { "\xff" }) }
-- There is something of that kind among the other values.
local FUNCTION = { good = { noop }, bad = { 1, "x", true, {} }, others = {} }
local SESSION = { good = {}, bad = { 1, "x", true, {}, noop } }
local KINDS = {
	session = SESSION, number = TIMEOUT, boolean = FLAG, string = BYTES, text = TEXT, integer = NATURAL, id = ID,
	list = LIST,
}
local PASSWORD = { good = { "x" }, bad = list(TEXT.bad, { "" }) }
-- Only false goes together with what the least request has.
local NOT = { good = { false }, bad = FLAG.bad }
local URLS = {
	good = { { "http://10.0.0.1:2380" }, { "https://a:1", "http://[::1]:2380" } },
	bad = list(LIST.bad, { {} }),
}
local FILLED = { good = { "x", "\0\xff" }, bad = list(BYTES.bad, { "" }) }
local PATIENCE = { good = TIMEOUT.good, bad = { -1, -0.5, NAN, -HUGE, "x", true, {} } }
local FILE = { good = { "/nowhere/file" }, bad = list(TEXT.bad, { "", "a\0b" }) }
-- Those that wait would do so for as long.
local BRIEF = { good = { 0.05 }, bad = DEADLINE.bad }
local WAITS = schema.waits
local KEYS = { good = { {}, { "a", "\0" } }, bad = LIST.bad }
local PLACE = { good = { { key = "n/1", revision = 1, lease = 2 } }, bad = { 1, "x", true, noop }, others = {} }
local SPECIAL = {
	-- The least request reads nothing.
	txn = { min_revision = { good = { 0 }, bad = INTEGER.bad } }, scan = { page = SIZE },
	cache = { page = SIZE, wait = PATIENCE, decode = FUNCTION, file = FILE, deadline = BRIEF },
	discover = {
		name = FILLED, wait = PATIENCE, file = FILE, deadline = BRIEF,
		stale = { good = { true, false, 0, 5.5, HUGE }, bad = { "x", -1, NAN, {} } },
	},
	register = {
		name = FILLED, id = FILLED, addr = TEXT, TTL = SIZE, wait = PATIENCE, deadline = BRIEF,
		metadata = { good = { "x", 1, 1.5, true, {}, { a = { 1, 2 } } }, bad = { "\xff", HUGE }, others = { noop } },
		-- The least request has a name.
		key = { good = {}, bad = list(BYTES.good, BYTES.bad) }, value = { good = {}, bad = list(BYTES.good, BYTES.bad) },
	},
	session = { marker = FILLED, TTL = SIZE, ID = { good = { 1, "0x7f", -1 }, bad = list({ 0 }, ID.bad) } },
	lock = {
		name = FILLED, TTL = SIZE, session = SESSION, wait = PATIENCE, resume = PLACE,
	},
	campaign = { name = FILLED, TTL = SIZE, session = SESSION, wait = PATIENCE, resume = PLACE },
	stm = { apply = { good = {}, bad = { 1, "x", true, {} }, others = {} }, tries = SIZE, keys = KEYS },
	leader = { name = FILLED }, observe = { name = FILLED, wait = PATIENCE, deadline = BRIEF },
	grant = { TTL = INTEGER }, watch = { filters = FILTERS }, increment = { by = INTEGER, initial = INTEGER },
	swap = { delete = NOT }, ["auth.useradd"] = { password = PASSWORD, nopassword = NOT },
	["auth.userpassword"] = { password = PASSWORD }, ["cluster.add"] = { peerURLs = URLS },
	["cluster.update"] = { peerURLs = URLS }, ["maintenance.snapshot"] = {
		file = FILE, progress = FUNCTION,
		-- The least request has a file.
		chunk = { good = {}, bad = FUNCTION.bad, others = {} },
	},
}
local NEEDS = schema.least()

local FIELDS = {}
for name, request in pairs(schema.requests) do
	FIELDS[name] = {}
	for field, kind in pairs(request.fields) do
		FIELDS[name][field] = KINDS[kind] or type(kind) == "table" and choice(table.unpack(kind)) or FUNCTION
	end
	FIELDS[name] = with(FIELDS[name], SPECIAL[name] or {})
end

-- Inside of a transaction.
local function inner(fields)
	fields = with(fields, {})
	fields.min_revision, fields.once, fields.values = nil, nil, nil
	return fields
end

-- Where a table of fields may stand: the call, the least that it needs, its fields, and for a table inside a request
-- its path and the request around it.
local places = {
	{ "newclient", { endpoints = { "localhost:2379" } },
		with(OPTIONS, { endpoints = ENDPOINTS, loop = LOOP, name = NAME, max_request = SIZE, min_version = VERSION,
			namespace = BYTES, balance = BALANCE, sync = INTERVAL, nameservers = NAMESERVERS }) },
	{ "txn", NEEDS.put, inner(FIELDS.put), "success[1].put.", function(t) return { success = { { put = t } } } end },
	{ "txn", NEEDS.get, inner(FIELDS.get), "failure[2].get.", function(t)
		return { failure = { { get = { key = "k" } }, { get = t } } }
	end },
	{ "txn", NEEDS.delete, inner(FIELDS.delete), "success[1].delete.", function(t)
		return { success = { { delete = t } } }
	end },
	{ "txn", {}, inner(FIELDS.txn), "success[1].txn.", function(t) return { success = { { txn = t } } } end },
}
for _, name in ipairs(schema.calls) do
	local function unless(refused, values)
		return refused and { good = {}, bad = list(values.good, values.bad) } or values
	end
	places[#places + 1] = { name, NEEDS[name], with(with(OPTIONS, FIELDS[name]), {
		endpoint = unless(schema.shares[name] or name == "maintenance.compare", ENDPOINT),
		headers = unless(schema.shares[name], HEADERS),
	}) }
end
for target, operand in pairs {
	VERSION = "version", CREATE = "create_revision", MOD = "mod_revision", VALUE = "value", LEASE = "lease",
} do
	local kind = target == "VALUE" and BYTES or target == "LEASE" and ID or INTEGER
	local needs = { key = "k", target = target, result = "EQUAL", [operand] = kind.good[2] }
	local fields = with(RANGE, { target = choice(target), result = RESULT, [operand] = kind })
	places[#places + 1] = { "txn", needs, fields, "compare[1].", function(t) return { compare = { t } } end }
end

-- The field that may stand in the place of a request, by the call or the operation.
local ALONE = {}
for name, request in pairs(schema.requests) do
	ALONE[name] = not request.required[2] and request.required[1] or nil
end

-- Calls a method; newclient's error is a message without info.
local function call(method, req, client)
	client = client or nowhere
	if method ~= "newclient" then
		return schema.run(client, method, req)
	end
	local ok, result = pcall(etcd.newclient, req)
	return ok and result or nil, not ok and result or nil
end

-- Remembers what is in a table, and in all tables in it; says later whether all is the same.
local function snapshot(root)
	local seen = {}
	local function visit(t)
		if type(t) == "table" and not seen[t] then
			seen[t] = {}
			for k, v in next, t do
				seen[t][k] = v
				visit(v)
			end
		end
	end
	visit(root)
	return function()
		for t, was in pairs(seen) do
			for k, v in next, was do
				assert(rawequal(t[k], v) or v ~= v)
			end
			for k in next, t do
				assert(was[k] ~= nil)
			end
		end
	end
end

-- The request is refused because of `field`, in one line that contains `text`, and is left as it was.
local function refused(method, req, field, text)
	local unchanged = snapshot(req)
	local answer, message, info = call(method, req)
	assert.are.equal("nil string", type(answer) .. " " .. type(message))
	assert.are.equal(method .. ": ", message:sub(1, #method + 2))
	assert.is_nil(message:find("%c"), message)
	assert.is_truthy(message:find(text or "", 1, true), message)
	if method ~= "newclient" then
		assert.are.same({ code = "invalid_argument", applied = "no", field = field }, info)
	end
	unchanged()
	return message
end

-- With a client of its own, since a watch waits for the back-off of the one that failed before.
local function accepted(method, req)
	local unchanged = snapshot(req)
	local client <close> = etcd.newclient(with(NOWHERE, { deadline = WAITS[method] and 0.05 or nil }))
	local answer, message, info = call(method, req, client)
	if method == "newclient" then
		assert(answer, message):close()
	else
		-- A thousandth of a second may be over before that is known.
		assert.is_truthy(info.code == "unavailable" or info.code == "deadline_exceeded", message)
	end
	unchanged()
end

local function copy(t, field, value)
	local new = with(t, {})
	new[field] = value
	return new
end

local function shown(value)
	return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

for _, place in ipairs(places) do
	local method, needs, fields, path, wrap = table.unpack(place, 1, 5)
	path = path or ""
	wrap = wrap or function(t) return t end
	local alone = ALONE[path:match "(%a+)%.$" or method]

	local function bad(t, field, text)
		return refused(method, wrap(t), path .. field, text)
	end

	describe(("%s %s%s"):format(method, path, needs.target or ""), function()
		it("accepts what it needs and no more", function()
			accepted(method, wrap(needs))
		end)

		for field, kind in pairs(fields) do
			it("accepts " .. field, function()
				for _, value in ipairs(kind.good) do
					accepted(method, wrap(copy(needs, field, value)))
				end
			end)

			it("refuses a wrong " .. field, function()
				for _, value in ipairs(list(kind.bad, kind.others or others)) do
					local ok, problem = pcall(bad, copy(needs, field, value), field, ("field '%s"):format(field))
					assert(ok, ("%s: %s"):format(shown(value), tostring(problem)))
				end
			end)

			it("suggests " .. field, function()
				-- `header` is what a response has, and is told so.
				local shorter = field == "headers" and "heders" or field:sub(1, -2)
				for _, typo in ipairs { field .. "_", shorter, field .. "\n" } do
					local name = typo:gsub("\n", "\\n")
					bad(copy(needs, typo, 1), typo, ("unknown field '%s' (did you mean '%s'?)"):format(name, field))
				end
			end)
		end

		for field in pairs(needs) do
			-- One operand stands for the target too.
			if field == "target" then
				it("needs no target", function()
					accepted(method, wrap(copy(needs, field, nil)))
				end)
			else
				it("misses " .. field, function()
					local operand = field == "endpoints" and "field 'endpoints'" or ("missing field '%s'"):format(field)
					bad(copy(needs, field, nil), field, operand)
				end)
			end
		end

		it("refuses an unknown field", function()
			local message = bad(copy(needs, "entirely unknown", true), "entirely unknown", "unknown field 'entirely unknown'")
			assert.is_nil(message:find("did you mean", 1, true))
			assert.is_truthy(bad(copy(needs, "\xff\xfe\xfd\xfc\xfb", 1), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"))
		end)

		it("shows only the beginning of a long text", function()
			local message = bad(copy(needs, LONG, true), LONG, "unknown field 'xxx")
			assert.is_true(#message < 200, #message)
		end)

		it("refuses a key that is no string", function()
			for _, key in ipairs { 1, 2, -1, 1.5, true, HUGE, {}, noop, io.stdout } do
				bad(copy(needs, key, true), tostring(key), "unknown field [" .. tostring(key))
			end
		end)

		it("refuses a key with a __tostring that raises, or answers two lines", function()
			for _, tostring in ipairs { error, function() return "two\nlines" end } do
				local key = setmetatable({}, { __tostring = tostring })
				local _, message = call(method, wrap(copy(needs, key, true)))
				assert.is_truthy(message:find("unknown field [", 1, true), message)
				assert.is_nil(message:find("%c"), message)
			end
		end)

		it("refuses what is no table", function()
			if not alone then
				for _, value in ipairs(list({ "x", 1.5, true, false }, others)) do
					refused(method, wrap(value), path ~= "" and path:sub(1, -2) or nil, " must be a table, got a")
				end
				return
			end
			for _, value in ipairs(list({ 1.5, true, false }, fields[alone].bad, fields[alone].others or others)) do
				if type(value) ~= "table" and not (fields[alone] == URLS and type(value) == "string") then
					refused(method, wrap(value), path .. alone, ("field '%s' "):format(alone))
				end
			end
		end)

		if alone then
			it(("takes its %s alone"):format(alone), function()
				-- A table is always the request: of a list its only item stands alone.
				for _, value in ipairs(fields[alone].good) do
					accepted(method, wrap(type(value) == "table" and value[1] or value))
				end
			end)
		end

		it("reads inherited fields and leaves metamethods alone", function()
			local mt = { __index = needs, __newindex = error, __pairs = error, __len = error, __call = error, __eq = error }
			accepted(method, wrap(setmetatable({}, mt)))
			mt.__index = function(_, field) return needs[field] end
			accepted(method, wrap(setmetatable({}, mt)))
		end)

		it("answers a metamethod that raises or yields", function()
			for _, fault in ipairs { "text", "two\nlines", {}, 1, false, coroutine.yield } do
				local function index(_, field)
					if field == "timeout" or path ~= "" then
						return fault == coroutine.yield and coroutine.yield() or error(fault)
					end
					return needs[field]
				end
				local run = coroutine.wrap(function()
					return call(method, wrap(setmetatable({}, { __index = index })))
				end)
				local answer, message, info = run()
				assert.is_nil(answer)
				assert.is_truthy(message:find("could not be read", 1, true), message)
				assert.is_nil(message:find("%c"), message)
				if path == "" then
					assert.is_truthy(message:find("field 'timeout'", 1, true), message)
				end
				if method ~= "newclient" then
					assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied })
				end
			end
		end)
	end)
end

describe("a request that is missing", function()
	for _, place in ipairs(places) do
		local method = place[1]
		if not place[4] and (ALONE[method] or NEEDS[method] == nil or next(NEEDS[method]) or method == "txn") then
			it("is refused by " .. method, function()
				local alone = ALONE[method] and (" or its '%s'"):format(ALONE[method]) or ""
				local subject = method == "newclient" and "the configuration" or "the request"
				refused(method, nil, nil, ("%s: %s must be a table%s, got nil"):format(method, subject, alone))
			end)
		end
		if not place[4] and method ~= "newclient" then
			it(("throws when it is self that is missing: client.%s(...)"):format(method), function()
				local f = schema.method(nowhere, method)
				local name = method:match "%w+$"
				local text = ("%s: .*client[.%%w]*:%s%%("):format(name, name)
				for _, self in ipairs { place[2], "x", setmetatable({}, {}) } do
					assert.error_matches(function() f(self) end, text)
				end
				assert.error_matches(function() f() end, text)
			end)
		end
	end

	it("is the same as an empty one for leases", function()
		accepted("leases", nil)
	end)
end)

describe("fields that contradict each other:", function()
	for path, wrap in pairs {
		get = function(t) return t end, delete = function(t) return t end, watch = function(t) return t end,
		["txn success[1].get."] = function(t) return { success = { { get = t } } } end,
		["txn success[1].delete."] = function(t) return { success = { { delete = t } } } end,
		["txn compare[1]."] = function(t) return { compare = { t } } end,
	} do
		local method, at = path:match("^(%S+) ?(%S*)$")
		for _, case in ipairs {
			{ "fromkey", { key = "k", prefix = true, fromkey = true }, "excludes 'prefix'" },
			{ "range_end", { key = "k", prefix = true, range_end = "z" }, "excludes 'prefix'" },
			{ "range_end", { key = "k", fromkey = true, range_end = "z" }, "'fromkey'" },
			{ "range_end", { key = "k", prefix = true, range_end = "" }, "excludes 'prefix'" },
		} do
			it(("%s and %s of %s"):format(case[1], case[3], path), function()
				refused(method, wrap(case[2]), at .. case[1], ("field '%s' %s"):format(case[1], case[3]:match("^excl") or ""))
			end)
		end
	end

	local put, compare = { key = "k", value = "v" }, { key = "k", target = "MOD", result = "EQUAL", mod_revision = 1 }
	local own, loop, op = {}, {}, {}
	own[1], op.txn = own, { success = { op } }
	loop.failure = { { txn = loop } }
	local more = {}
	local endless = setmetatable({}, more)
	function more.__index(_, field)
		return field == "txn" and endless or field == "success" and { setmetatable({}, more) } or nil
	end
	local deep = {}
	for _ = 1, 60000 do
		deep = { success = { { txn = deep } } }
	end

	for name, case in pairs {
		["two revisions"] = { "watch", { key = "k", revision = 2, start_revision = 3 }, "start_revision", "'revision'" },
		["two operations"] = { "txn", { success = { { put = put, get = { key = "k" } } } }, "success[1].get", "second" },
		["no operation"] = { "txn", { success = { {} } }, "success[1]", "must have one of put, get, delete, txn" },
		["an unknown operation"] = { "txn", { failure = { { putt = put } } }, "failure[1].putt", "did you mean 'put'" },
		["another target's operand"] = {
			"txn", { compare = { copy(compare, "version", 1) } }, "compare[1].version",
			"unknown field 'version' (the target 'MOD' takes 'mod_revision')",
		},
		["another target's operand alone"] = {
			"txn", { compare = { copy(copy(compare, "version", 1), "mod_revision", nil) } }, "compare[1].version",
			"unknown field 'version' (the target 'MOD' takes 'mod_revision')",
		},
		["a compare that is no table"] = { "txn", { compare = { compare, 1 } }, "compare[2]", "must be a table" },
		["an operation that is no table"] = { "txn", { success = { "put" } }, "success[1]", "must be a table" },
		["options of an operation"] = {
			"txn", { success = { { put = copy(put, "timeout", 1) } } }, "success[1].put.timeout", "unknown field 'timeout'",
		},
		["a list inside itself"] = { "txn", { success = own }, "success[1]", "must have one of put, get, delete, txn" },
		["an operation inside itself"] = { "txn", { success = { op } }, "success[1].txn.success", "contains itself" },
		["a txn inside itself"] = { "txn", loop, "failure[1].txn.failure", "contains itself" },
	} do
		it(name, function()
			refused(table.unpack(case))
		end)
	end

	for name, req in pairs { ["60000 txns in each other"] = deep, ["a metamethod that always has one more"] = endless } do
		it(name, function()
			local _, message, info = call("txn", req)
			assert.are.same({ "invalid_argument", "no" }, { info.code, info.applied }, message)
		end)
	end
end)

describe("integers", function()
	it("C10: reach the server as they are", function()
		local client = etcd.newclient { endpoints = { server.endpoint() } }
		for _, case in ipairs {
			{ 12, 12, 12.0, "12", "012", "0xC", "0Xc" }, { -12, -12, -12.0, "-12", "-0xc" }, { 0, 0, -0.0, "-0", "0x0" },
			{ 1 << 53, 2 ^ 53 }, { (1 << 53) + 1, (1 << 53) + 1, "9007199254740993" }, { 1 << 62, 2 ^ 62 },
			{ math.maxinteger, math.maxinteger, "9223372036854775807", "0x7fffffffffffffff" },
			{ math.mininteger, math.mininteger, -2 ^ 63, "-9223372036854775808", "-0x8000000000000000" },
			-- A uint64 is an id by its bits, and comes back so.
			{ math.mininteger, 2 ^ 63, "9223372036854775808", "0x8000000000000000" },
			{ -1, "18446744073709551615", "0xffffffffffffffff" },
			{ -4643085921361824308, "13803658152347727308" },
		} do
			for i = 2, #case do
				local answer = assert(client:ttl { ID = case[i] })
				assert.are.equal(case[1], answer.ID)
				assert.are.equal("integer", math.type(answer.ID))
			end
		end
		client:close()
	end)

	it("stand for a request of keepalive", function()
		for _, id in ipairs { 1, 1.0, "1", "0x1", -1 } do
			accepted("keepalive", id)
		end
	end)

	it("of seconds beyond every clock do no harm", function()
		for _, timeout in ipairs { 1e18, 1e19, 1.8e19, math.maxinteger, 1e-9, 1e-12 } do
			local _, message, info = nowhere:get { key = "k", timeout = timeout }
			assert.is_truthy(info.code == "unavailable" or info.code == "invalid_argument", message)
		end
	end)
end)

describe("a long text", function()
	it("is shown only in its beginning", function()
		for field, value in pairs { sort_order = LONG, limit = LONG, revision = ("9"):rep(1 << 20) } do
			local message = refused("get", { key = "k", [field] = value }, field)
			assert.is_true(#message < 200, #message)
		end
	end)
end)

describe("an address", function()
	for given, expected in pairs {
		["127.0.0.1:2379"] = "127.0.0.1:2379", ["etcd-1.example.com:1"] = "etcd-1.example.com:1",
		["http://localhost:65535"] = "localhost:65535", ["http://localhost:2379/"] = "localhost:2379",
		["[::1]:2379"] = "[::1]:2379", ["http://[fe80::1]:2379"] = "[fe80::1]:2379",
		["unix:///run/etcd.sock"] = "unix:///run/etcd.sock", ["HTTP://Host:2379"] = "host:2379", ["host:2379/"] = "host:2379",
		["Unix:///run/ETCD.sock"] = "unix:///run/ETCD.sock", ["http://[::0001]:2379/"] = "[::1]:2379",
	} do
		it(given .. " is one", function()
			local client <close> = etcd.newclient { endpoints = { "first:1", given } }
			assert.is_truthy(tostring(client):find(expected, 1, true))
		end)
	end

	it("counts once, however often and in whatever spelling it is given", function()
		for _, endpoints in ipairs {
			{ "Host:1", "host:1", "HTTP://host:1", "http://HOST:1/", "host:1/", "b:2" },
			{ "[::1]:1", "[0:0:0:0:0:0:0:1]:1", "http://[::01]:1/", "b:2" },
			{ "unix:///s", "UNIX:///s", "b:2" },
		} do
			local client <close> = etcd.newclient { endpoints = endpoints }
			assert.is_truthy(tostring(client):find("^[^,]+1?, b:2[^,]*$"), tostring(client))
		end
		local client <close> = etcd.newclient { endpoints = { "unix:///s", "unix:///S", "h:1", "h:2", "i:1" } }
		assert.equal(4, select(2, tostring(client):gsub(",", ",")))
	end)

	it("asks for encryption in whatever spelling", function()
		for _, https in ipairs { "https://h:1", "HTTPS://h:1", "Https://h:1/" } do
			refused("newclient", { endpoints = { https, "HTTP://h:2" } }, nil, "mixes https with others")
			refused("newclient", { endpoints = { https, "h:2" } }, nil, "mixes https with others")
			local client <close> = etcd.newclient { endpoints = { https, "h:2" }, tls = { insecure_skip_verify = true } }
			assert.is_truthy(client)
		end
		for _, plain in ipairs { "http://h:1", "HTTP://h:1/", "UNIX:///s" } do
			refused("newclient", { endpoints = { plain }, tls = {} }, nil, "contradicts an endpoint")
		end
	end)

	for given, reason in pairs {
		[" h:1"] = "there is white space around it", ["h:1\n"] = "there is white space around it",
		["h"] = "the port is missing", ["http://h/"] = "the port is missing", ["http://h:1/v3"] = "a path has no place in it",
		["h:1//"] = "a path has no place in it", ["h:1/?a"] = "a path has no place in it",
		["h:1?a"] = "a query has no place in it", ["h:1#a"] = "a fragment has no place in it",
		["a:1,b:2"] = "a second address has no place in it", ["::1:2379"] = "expected [IPv6]:port",
	} do
		it(("%q says why it is none"):format(given), function()
			refused("newclient", { endpoints = { given } }, nil, "field 'endpoints[1]' is not an address: " .. reason)
		end)
	end

	for _, given in ipairs {
		"", " ", ":", "localhost", "localhost:", ":2379", "localhost:0", "localhost:65536", "localhost:99999999999",
		"localhost:-1", "localhost:+2379", "localhost:http", " localhost:2379", "localhost:2379\n", "local host:2379",
		"localhost\0:2379", "a:1,b:2", "a:1:2", "::1:2379", "[::1]", "[]:2379", "[::1:2379", "::1]:2379", "[zz]:2379",
		"[::1]x:2379", "http://", "http://localhost", "http://:2379", "http://localhost:2379/v3", "localhost:2379?a",
		"localhost:2379#a", "ftp://localhost:2379", "://localhost:2379", "http//localhost:2379", "unix://", "unix:///",
		"unix://relative", "unix:path", "unix:///a\0b", "\xff:2379", "root:secret@localhost:2379",
		"http://root:secret@localhost:2379",
	} do
		it(("%q is none"):format(given), function()
			local message = refused("newclient", { endpoints = { "localhost:1", given } }, nil, "field 'endpoints[2]'")
			assert.is_nil(message:find("secret", 1, true), message)
		end)
	end

	it("is shown only in its beginning", function()
		local message = refused("newclient", { endpoints = { LONG } }, nil, "field 'endpoints[1]'")
		assert.is_true(#message < 200, #message)
	end)

	it("is a string", function()
		for _, given in ipairs(list({ 1, 1.5, true, {} }, others)) do
			refused("newclient", { endpoints = { given } }, nil, "field 'endpoints[1]' must be a string, got a")
		end
	end)
end)
