-- library/: what the definitions say is what the modules do.
-- In: the definitions and the sources, read as text; the real modules; real answers of the server.
-- Out: a failure for each module, function, field and code that only one side has, and for each type that is not so.

local etcd = require "silly.store.etcd"
local schema = require "spec.support.schema"
local support = require "spec.support.etcd"

local PREFIX = "silly.store.etcd."
-- The modules of the standalone runtime.
local RUNTIME = {
	"silly",
	"silly.encoding.json",
	"silly.sync.channel",
	"silly.sync.mutex",
	"silly.sync.waitgroup",
	"silly.task",
	"silly.time",
}

local function definitions(module)
	return "library/" .. module .. ".d.lua"
end

-- class -> { parent = class or nil, fields = name -> { type, optional }, functions = name -> what is said of it }
local function read(file, classes, codes)
	local class, owner, alias
	local owners = {} -- the variable that stands for a class -> the class
	local tags = {}
	for line in io.lines(file) do
		local name, parent = line:match("^%-%-%-@class ([%w.]+):? ?([%w.]*)")
		local field, optional, kind = line:match("^%-%-%-@field ([%w_]+)(%??) (%S+)")
		local variable, func = line:match("^function (%w+)[.:](%w+)%(")
		if not variable then
			variable, func = line:match("^(%w+)%.(%w+) = ")
		end
		if name then
			class = { parent = parent ~= "" and parent or nil, fields = {}, functions = {} }
			classes[name], owner = class, name
		elseif field then
			class.fields[field] = { type = kind, optional = optional == "?" }
		elseif owners[variable] then
			classes[owners[variable]].functions[func] = tags
		elseif line:match("^local %w+ = {") then
			owners[line:match("^local (%w+)")] = owner
		end
		alias = line:match("^%-%-%-@alias ([%w.]+)") or alias
		local code = line:match('^%-%-%-| "([%w_]+)"')
		if code and alias == PREFIX .. "code" then
			codes[code] = true
		end
		-- A parameter's name, or how a result's type begins.
		local tag = line:match("^%-%-%-@(%a+ ?[%w.]*)")
		if not line:find("^%-%-%-") then
			tags = {}
		elseif tag and not line:find "@return_overload" then
			tags[#tags + 1] = tag
		end
	end
end

local classes, codes = {}, {}
read(definitions "silly.store.etcd", classes, codes)
for _, module in ipairs(RUNTIME) do
	read(definitions(module), classes, codes)
end

-- All fields of a class, inherited ones too.
local function fields(class)
	local all = {}
	while class do
		local definition = assert(classes[class], "no such class: " .. class)
		for name, field in pairs(definition.fields) do
			all[name] = field
		end
		class = definition.parent
	end
	return all
end

local function names(set, wanted)
	local list = {}
	for name, value in pairs(set) do
		if not name:find "^_" and (not wanted or type(value) == wanted) then
			list[#list + 1] = name
		end
	end
	table.sort(list)
	return list
end

local client

setup(function()
	client = etcd.newclient { endpoints = { support.endpoint() } }
end)

teardown(function()
	client:close()
end)

describe("the definitions", function()
	it("are Lua", function()
		assert.is_table(dofile(definitions "silly.store.etcd"))
	end)

	it("have the functions of the module, and no others", function()
		assert.are.same(names(etcd, "function"), names(classes["silly.store.etcd"].functions))
	end)

	it("have each module of the standalone runtime", function()
		local expected = {}
		-- The sources of silly/resty have their annotations themselves.
		local find = io.popen [[
			cd lua && find silly* '(' -path silly/store -o -path silly/resty ')' -prune -o -name '*.lua' -print
		]]
		for file in find:lines() do
			expected[#expected + 1] = file:gsub("%.lua$", ""):gsub("/", ".")
		end
		find:close()
		table.sort(expected)
		assert.are.same(expected, RUNTIME)
	end)

	for _, name in ipairs(RUNTIME) do
		it("have the functions of " .. name .. ", and no others", function()
			assert.is_table(dofile(definitions(name)))
			assert.are.same(names(require(name), "function"), names(classes[name].functions))
		end)
	end

	it("have the fields and methods of what the runtime makes", function()
		local guard = require("silly.sync.mutex").new():lock "key"
		assert.are.same(names(getmetatable(guard).__index, "function"), names(classes["silly.sync.mutex.guard"].functions))
		assert.is_not_nil(require("silly.encoding.json").null)
		assert.are.equal(0, require("silly.sync.waitgroup").new().count)
		local queue = require("silly.sync.channel").new()
		queue:close()
		assert.is_not_nil(queue.reason)
	end)

	it("say of each function what its source says", function()
		local sources = {}
		for _, module in ipairs(RUNTIME) do
			read("lua/" .. module:gsub("%.", "/") .. ".lua", sources, {})
		end
		for _, file in ipairs {
			"module", "client", "keepalive", "watch", "scan", "cache", "changes", "registration", "discovery",
		} do
			read("lua/silly/store/etcd/" .. file .. ".lua", sources, {})
		end
		for name, source in pairs(sources) do
			for func, tags in pairs(source.functions) do
				local defined = classes[name] and classes[name].functions[func]
				-- What is said by `@type` is Lua's own function in the definitions.
				if defined and tags[1] ~= "type fun" then
					assert.are.same(tags, defined, name .. "." .. func)
				end
			end
		end
	end)

	it("have the methods of the objects, and no others", function()
		local nothing = { changes = function() return {} end, close = function() end }
		local discovery = require("silly.store.etcd.discovery").new(client, { native = nothing })
		local objects = {
			client = client,
			keepalive = require("silly.store.etcd.keepalive").new(client, {}),
			watch = require("silly.store.etcd.watch").new(client, {}, {}),
			scan = require("silly.store.etcd.scan").new(client, {}),
			cache = require("silly.store.etcd.cache").new(client, { peek = function() end }),
			changes = require("silly.store.etcd.changes").new({ loop = client.loop }, {}),
			registration = require("silly.store.etcd.registration").new(client, {}),
			discovery = discovery,
			["discovery.changes"] = discovery:changes(),
		}
		for name, object in pairs(objects) do
			local methods = getmetatable(object).__index
			assert.are.same(names(methods, "function"), names(classes[PREFIX .. name].functions))
		end
	end)

	it("have the functions of a loop", function()
		local loop = require "silly.store.etcd.loops.standalone"
		local defined = fields(PREFIX .. "loop")
		for name in pairs(loop) do
			assert.is_table(defined[name], name)
		end
		local complete = {}
		for name in pairs(defined) do
			complete[name] = function() end
		end
		local conf = { endpoints = { "127.0.0.1:1" }, loop = complete }
		etcd.newclient(conf)
		for name, field in pairs(defined) do
			complete[name] = nil
			assert.are.equal(field.optional, (pcall(etcd.newclient, conf)), name)
			complete[name] = print
		end
	end)

	it("name what a loop may do with the core", function()
		local core = require "silly.store.etcd.core"
		for name in pairs(classes[PREFIX .. "core"].functions) do
			assert.is_function(core[name])
		end
	end)

	it("have the codes of src/etcd/error.rs, and the one of a read in vain", function()
		local file = assert(io.open("src/etcd/error.rs"))
		local source = file:read("*a")
		file:close()
		local expected = { timeout = true }
		for code in source:match('\ncodes! {(.-)\n}\n'):gmatch('\n    %u%w+ "([%w_]+)"') do
			expected[code] = true
		end
		assert.are.same(names(expected), names(codes))
	end)
end)

-- Names that etcd's messages have for what is called otherwise in all requests.
local SYNONYMS = { ["auth.userrevoke"] = { "name" }, ["auth.rolegrant"] = { "name" } }

describe("the fields of requests", function()
	-- The names that `call` asks a request for. It is not sent: a name that nobody asks for is an error in the end.
	local function asked(call, request)
		local set = {}
		for name in pairs(request) do
			set[name] = true
		end
		request.unknown = true
		local _, message = call(setmetatable(request, { __index = function(_, name) set[name] = true end }))
		assert.is_truthy(message:find("unknown field 'unknown'", 1, true), message)
		return set
	end

	for name, request in pairs(schema.least()) do
		it("are those that " .. name .. " asks for", function()
			local class = PREFIX .. name
			class = classes[class .. ".request"] and class .. ".request" or class
			local set = asked(function(req) return schema.run(client, name, req) end, request)
			for _, synonym in ipairs(SYNONYMS[name] or {}) do
				set[synonym] = nil
			end
			assert.are.same(names(set), names(fields(class)))
		end)
	end

	it("are those that newclient asks for", function()
		local function call(conf) return pcall(etcd.newclient, conf) end
		local set = asked(call, { endpoints = { "127.0.0.1:1" } })
		assert.are.same(names(set), names(fields(PREFIX .. "conf")))
	end)

	it("are those that an operation of txn is asked for", function()
		local function call(operation) return client:txn { success = { operation } } end
		assert.are.same(names(asked(call, { get = "k" })), names(fields(PREFIX .. "txn.operation")))
	end)

	it("are those that a comparison of txn is asked for", function()
		local function call(compare) return client:txn { compare = { compare } } end
		local set = {}
		for target, operand in pairs {
			VERSION = { version = 1 },
			CREATE = { create_revision = 1 },
			MOD = { mod_revision = 1 },
			VALUE = { value = "v" },
			LEASE = { lease = 1 },
		} do
			operand.key, operand.target, operand.result = "k", target, "EQUAL"
			for name in pairs(asked(call, operand)) do
				set[name] = true
			end
		end
		assert.are.same(names(set), names(fields(PREFIX .. "txn.compare")))
	end)
end)

describe("the fields of answers", function()
	local isinteger = math.type and function(value) return math.type(value) == "integer" end
		or function(value) return type(value) == "number" and value % 1 == 0 end

	local seen = {}

	-- Holds a value to its type: all fields that a class requires, and none that it has not.
	local function check(kind, value, path)
		local item = kind:match("^(.*)%[%]$")
		if item then
			assert.is_table(value, path)
			for i, element in ipairs(value) do
				check(item, element, path .. "[" .. i .. "]")
			end
		elseif classes[kind] then
			seen[kind] = true
			assert.is_table(value, path)
			local defined = fields(kind)
			for name, field in pairs(defined) do
				if value[name] ~= nil or not field.optional then
					check(field.type, value[name], path .. "." .. name)
				end
			end
			for name in pairs(value) do
				assert.is_table(defined[name], path .. "." .. name .. " is not defined")
			end
		elseif kind == "integer" then
			assert.is_true(isinteger(value), path .. ": " .. tostring(value))
		elseif kind == PREFIX .. "id" then
			assert.is_true(type(value) == "string" or isinteger(value), path .. ": " .. tostring(value))
		elseif kind == PREFIX .. "code" then
			assert.is_true(codes[value], path .. ": " .. tostring(value))
		elseif kind == "any" then
			assert.is_not_nil(value, path)
		elseif kind:find "^table<" then
			assert.is_table(value, path)
		elseif kind:find '^"' then
			assert.is_truthy(("|" .. kind .. "|"):find('|"' .. tostring(value) .. '"|', 1, true), path)
		else
			assert.are.equal(kind, type(value), path)
		end
	end

	local function holds(class, value, message)
		assert.is_nil(message)
		check(PREFIX .. class, value, class)
	end

	local function fails(answer, _, info)
		assert.is_nil(answer)
		check(PREFIX .. "info", info, "info")
	end

	-- The same for the response to a call of a service. One that servers are too old for has none.
	local function responds(owner, name, req)
		local answer, message, info = schema.run(owner, name, req)
		if not answer and info.code == "unimplemented" then
			seen[PREFIX .. name .. ".response"] = true
		else
			holds(name .. ".response", answer, message)
		end
		return answer
	end

	local function services(owner)
		responds(owner, "auth.useradd", { name = "u", password = "p" })
		responds(owner, "auth.userpassword", { name = "u", password = "q" })
		responds(owner, "auth.roleadd", "r")
		responds(owner, "auth.rolegrant", { role = "r", permission = "READ", key = "k" })
		responds(owner, "auth.roleget", "r")
		responds(owner, "auth.rolelist")
		responds(owner, "auth.usergrant", { user = "u", role = "r" })
		responds(owner, "auth.userget", "u")
		responds(owner, "auth.userlist")
		responds(owner, "auth.userrevoke", { user = "u", role = "r" })
		responds(owner, "auth.rolerevoke", { role = "r", key = "k" })
		responds(owner, "auth.roledelete", "r")
		responds(owner, "auth.userdelete", "u")
		responds(owner, "auth.status")
		responds(owner, "auth.disable")
		assert(owner.auth:useradd { name = "root", password = "p" })
		assert(owner.auth:roleadd "root")
		assert(owner.auth:usergrant { user = "root", role = "root" })
		responds(owner, "auth.enable")
		local root <close> = etcd.newclient { endpoints = { tostring(owner):match "%S+$" }, user = "root", password = "p" }
		assert(root.auth:disable())

		responds(owner, "maintenance.alarms")
		responds(owner, "maintenance.hash")
		responds(owner, "maintenance.hashkv")
		responds(owner, "maintenance.defragment", { all = true })
		responds(owner, "maintenance.compare")
		responds(owner, "maintenance.snapshot", { chunk = function() end })
		local major, minor = assert(responds(owner, "maintenance.status")).version:match "^(%d+)%.(%d+)"
		responds(owner, "maintenance.downgrade", { action = "VALIDATE", version = ("%d.%d.0"):format(major, minor - 1) })
		local members = responds(owner, "cluster.members").members
		local learner = responds(owner, "cluster.add", { peerURLs = { "http://127.0.0.1:1" }, isLearner = true }).member
		responds(owner, "cluster.update", { ID = members[1].ID, peerURLs = members[1].peerURLs })
		responds(owner, "cluster.remove", learner.ID)
		-- These need several members, as in cluster_spec.lua.
		seen[PREFIX .. "cluster.promote.response"], seen[PREFIX .. "maintenance.moveleader.response"] = true, true
	end

	it("are those that are defined, for every class of answers", function()
		local key = support.prefix()
		local get, absent = { key = key, prefix = true }, { key = key, target = "VERSION", result = "EQUAL", version = 0 }
		local stream = assert(client:watch { key = key, prev_kv = true })
		holds("put.response", client:put { key = key, value = "1" })
		holds("put.response", client:put { key = key, value = "2", prev_kv = true })
		holds("get.response", client:get(get))
		holds("txn.response", client:txn {
			compare = { absent },
			failure = { { put = { key = key, value = "3" } }, { get = get }, { txn = {} }, { delete = { key = key .. "x" } } },
		})
		holds("delete.response", client:delete { key = key, prev_kv = true })
		repeat
			local response = assert(stream:read())
			holds("watch.response", response)
		until response.events[#response.events].type == "DELETE"
		fails(stream:read(0))
		holds("watch.status", stream:status())
		stream:close()
		fails(stream:read())

		local copy = client:cache(get)
		holds("cache.status", copy:status())
		local changes = copy:changes()
		assert(client:put { key = key, value = "4" })
		holds("changes.response", changes:read())
		fails(copy:get "")

		local entry = client:register { name = key, addr = "a" }
		holds("registration.status", entry:status())
		holds("registration.update.response", entry:update { addr = "b" })
		local service = client:discover(key)
		holds("discovery.status", service:status())
		holds("discovery.entry", service:pick())
		local coming = service:changes { initial = true }
		holds("discovery.event", coming:read())
		entry:close()

		local transaction = client:stm(function(tx)
			tx:put(key, "1")
			return 1
		end)
		holds("stm.response", transaction)
		local session = client:session()
		local leader = client:campaign { name = key, session = session }
		holds("leader.response", client:leader(key))
		holds("leader.response", client:observe(key):read())
		holds("proclaim.response", leader:proclaim "x")
		for _, compare in ipairs(leader:compare()) do
			holds("txn.compare", compare)
		end
		fails(client:lock { name = key, wait = 0 })
		session:revoke()
		holds("loss", leader:wait())

		local lease = client:grant { TTL = 60, keepalive = false }
		holds("grant.response", lease)
		holds("ttl.response", client:ttl { ID = lease.ID, keys = true })
		holds("leases.response", client:leases())
		holds("keepalive.response", client:keepalive({ ID = lease.ID }):read())
		holds("revoke.response", client:revoke { ID = lease.ID })
		fails(client:revoke { ID = lease.ID })
		fails(client:put {})

		local own = support.start()
		local second = etcd.newclient { endpoints = { own.endpoint } }
		local revision = second:put({ key = key, value = "1" }).header.revision
		holds("compact.response", second:compact { revision = revision })
		fails(second:get { key = key, revision = revision - 1 })
		fails(second:watch({ key = key, revision = 1 }):read())

		holds("swap.response", second:swap { key = key, mod_revision = 0, value = "2" })
		holds("increment.response", second:increment { key = key .. "n" })
		holds("health.response", second:health())
		holds("endpoint", second:endpoints()[1])
		services(second)
		second:close()
		own:stop()

		for class in pairs(classes) do
			if class:find "response$" then
				assert.is_true(seen[class], class .. " was never answered")
			end
		end
	end)
end)
