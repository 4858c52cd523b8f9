-- The requests of all calls: whether they may change something, what they require, and what their fields hold:
-- `boolean`, `string`, `text`, `integer`, `id`, one of several words, or `list`. Beside them each takes the options of
-- failures.

local requests = {
-- docs: requests
	put = {
		writes = true,
		required = { "key", "value" },
		fields = {
			key = "string",
			value = "string",
			lease = "id",
			prev_kv = "boolean",
			ignore_value = "boolean",
			ignore_lease = "boolean",
			once = "session",
		},
	},
	get = {
		writes = false,
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			limit = "integer",
			revision = "integer",
			sort_order = { "NONE", "ASCEND", "DESCEND" },
			sort_target = { "KEY", "VERSION", "CREATE", "MOD", "VALUE" },
			serializable = "boolean",
			keys_only = "boolean",
			count_only = "boolean",
			min_mod_revision = "integer",
			max_mod_revision = "integer",
			min_create_revision = "integer",
			max_create_revision = "integer",
			min_revision = "integer",
			values = "boolean",
		},
	},
	delete = {
		writes = true,
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			prev_kv = "boolean",
			once = "session",
		},
	},
	compact = {
		writes = true,
		required = { "revision" },
		fields = {
			revision = "integer",
			physical = "boolean",
		},
	},
	revoke = {
		writes = true,
		required = { "ID" },
		fields = {
			ID = "id",
		},
	},
	ttl = {
		writes = false,
		required = { "ID" },
		fields = {
			ID = "id",
			keys = "boolean",
		},
	},
	leases = {
		writes = false,
		required = { },
		fields = {},
	},
	["auth.enable"] = {
		writes = true,
		required = { },
		fields = {},
	},
	["auth.disable"] = {
		writes = true,
		required = { },
		fields = {},
	},
	["auth.status"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["auth.useradd"] = {
		writes = true,
		required = { "name", "password" },
		fields = {
			name = "text",
			password = "text",
			nopassword = "boolean",
		},
	},
	["auth.userget"] = {
		writes = false,
		required = { "name" },
		fields = {
			name = "text",
		},
	},
	["auth.userlist"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["auth.userdelete"] = {
		writes = true,
		required = { "name" },
		fields = {
			name = "text",
		},
	},
	["auth.userpassword"] = {
		writes = true,
		required = { "name", "password" },
		fields = {
			name = "text",
			password = "text",
		},
	},
	["auth.usergrant"] = {
		writes = true,
		required = { "user", "role" },
		fields = {
			user = "text",
			role = "text",
		},
	},
	["auth.userrevoke"] = {
		writes = true,
		required = { "user", "role" },
		fields = {
			role = "text",
			user = "text",
		},
	},
	["auth.roleadd"] = {
		writes = true,
		required = { "name" },
		fields = {
			name = "text",
		},
	},
	["auth.roleget"] = {
		writes = false,
		required = { "role" },
		fields = {
			role = "text",
		},
	},
	["auth.rolelist"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["auth.roledelete"] = {
		writes = true,
		required = { "role" },
		fields = {
			role = "text",
		},
	},
	["auth.rolegrant"] = {
		writes = true,
		required = { "role", "permission", "key" },
		fields = {
			role = "text",
			permission = { "READ", "WRITE", "READWRITE" },
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
		},
	},
	["auth.rolerevoke"] = {
		writes = true,
		required = { "role", "key" },
		fields = {
			role = "text",
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
		},
	},
	["cluster.members"] = {
		writes = false,
		required = { },
		fields = {
			serializable = "boolean",
		},
	},
	["cluster.add"] = {
		writes = true,
		required = { "peerURLs" },
		fields = {
			peerURLs = "list",
			isLearner = "boolean",
		},
	},
	["cluster.update"] = {
		writes = true,
		required = { "ID", "peerURLs" },
		fields = {
			ID = "id",
			peerURLs = "list",
		},
	},
	["cluster.remove"] = {
		writes = true,
		required = { "ID" },
		fields = {
			ID = "id",
		},
	},
	["cluster.promote"] = {
		writes = true,
		required = { "ID" },
		fields = {
			ID = "id",
		},
	},
	["maintenance.status"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["maintenance.alarms"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["maintenance.hash"] = {
		writes = false,
		required = { },
		fields = {},
	},
	["maintenance.hashkv"] = {
		writes = false,
		required = { },
		fields = {
			revision = "integer",
		},
	},
	["maintenance.moveleader"] = {
		writes = true,
		required = { "targetID" },
		fields = {
			targetID = "id",
		},
	},
	["maintenance.downgrade"] = {
		writes = true,
		required = { "action" },
		fields = {
			action = { "VALIDATE", "ENABLE", "CANCEL" },
			version = "text",
		},
	},
	txn = {
		writes = true,
		required = { },
		fields = {
			compare = "list",
			success = "list",
			failure = "list",
			min_revision = "integer",
			once = "session",
		},
	},
	grant = {
		writes = true,
		required = { "TTL" },
		fields = {
			TTL = "integer",
			ID = "id",
			keepalive = "boolean",
		},
	},
	keepalive = {
		writes = true,
		required = { "ID" },
		fields = {
			ID = "id",
			keepalive = "boolean",
		},
	},
	watch = {
		writes = false,
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			start_revision = "integer",
			progress_notify = "boolean",
			filters = "list",
			prev_kv = "boolean",
			revision = "integer",
			NOPUT = "boolean",
			NODELETE = "boolean",
		},
	},
	scan = {
		writes = false,
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			revision = "integer",
			limit = "integer",
			keys_only = "boolean",
			serializable = "boolean",
			page = "integer",
			min_revision = "integer",
		},
	},
	cache = {
		writes = false,
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			wait = "number",
			file = "text",
			decode = "fun(value: string): any",
			page = "integer",
		},
	},
	register = {
		writes = true,
		required = { "name", "addr" },
		fields = {
			name = "string",
			addr = "text",
			metadata = "any",
			id = "string",
			key = "string",
			value = "string",
			TTL = "integer",
			replace = "boolean",
			wait = "number",
		},
	},
	discover = {
		writes = false,
		required = { "name" },
		fields = {
			name = "string",
			wait = "number",
			file = "text",
			stale = "boolean|number",
		},
	},
	session = {
		writes = true,
		required = { },
		fields = {
			TTL = "integer",
			ID = "id",
			marker = "string",
		},
	},
	lock = {
		writes = true,
		required = { "name" },
		fields = {
			name = "string",
			value = "string",
			TTL = "integer",
			session = "session",
			wait = "number",
			mode = { "read", "write" },
			resume = "place",
		},
	},
	campaign = {
		writes = true,
		required = { "name" },
		fields = {
			name = "string",
			value = "string",
			TTL = "integer",
			session = "session",
			wait = "number",
			resume = "place",
		},
	},
	stm = {
		writes = true,
		required = { "apply" },
		fields = {
			apply = "tx): any, string?",
			isolation = { "snapshot", "serializable" },
			keys = "list",
			tries = "integer",
		},
	},
	leader = {
		writes = false,
		required = { "name" },
		fields = {
			name = "string",
		},
	},
	observe = {
		writes = false,
		required = { "name" },
		fields = {
			name = "string",
			wait = "number",
		},
	},
	swap = {
		writes = true,
		required = { "key", "mod_revision" },
		fields = {
			key = "string",
			mod_revision = "integer",
			value = "string",
			delete = "boolean",
			lease = "id",
			ignore_lease = "boolean",
			once = "session",
		},
	},
	increment = {
		writes = true,
		required = { "key" },
		fields = {
			key = "string",
			by = "integer",
			initial = "integer",
			lease = "id",
			once = "session",
		},
	},
	["maintenance.disarm"] = {
		writes = true,
		required = { },
		fields = {
			memberID = "id",
			alarm = { "NONE", "NOSPACE", "CORRUPT" },
		},
	},
	["maintenance.defragment"] = {
		writes = true,
		required = { },
		fields = {
			all = "boolean",
		},
	},
	["maintenance.snapshot"] = {
		writes = false,
		required = { "file" },
		fields = {
			file = "text",
			chunk = "fun(bytes: string)",
			progress = "fun(done: integer, total: integer)",
			idle = "number",
		},
	},
	["maintenance.compare"] = {
		writes = false,
		required = { },
		fields = {},
	},
-- docs: end
}

-- The names of all calls and of all their fields, in an order that does not change.
local calls, fields = {}, {}
for call, request in pairs(requests) do
	calls[#calls + 1] = call
	for field in pairs(request.fields) do
		fields[#fields + 1] = field
	end
end
table.sort(calls)
table.sort(fields)

-- A good value for each field that some call requires, and what some require that may leave it out with another.
local GOOD = {
	key = "k", value = "v", revision = 1, mod_revision = 1, TTL = 60, ID = 1, targetID = 1, name = "n", addr = "a",
	user = "u",
	role = "r", password = "p", file = "/nowhere/file", permission = "READ", action = "VALIDATE",
	peerURLs = { "http://127.0.0.1:2380" }, apply = function(tx) tx:put("k", "v") end,
}
local ALSO = { swap = { "value" } }

-- Those that wait for etcd to come, for as long as they are told.
local waits = { cache = true, register = true, discover = true, observe = true }
-- Those that share a stream, or a lease that is renewed by one: they choose no endpoint and no headers.
local shares = {
	watch = true, cache = true, register = true, discover = true, observe = true, session = true, lock = true,
	campaign = true,
}

-- The least that each call needs: the name of the call -> a request. Some values may be others than the good ones.
local function least(values)
	local all = {}
	for call, request in pairs(requests) do
		all[call] = {}
		for _, list in ipairs { request.required, ALSO[call] or {} } do
			for _, field in ipairs(list) do
				all[call][field] = values and values[field] or GOOD[field]
			end
		end
	end
	return all
end

-- The method of a call, and the object that it belongs to: the client, or one of its services.
local function method(client, call)
	local service, name = call:match "^(%w+)%.(%w+)$"
	local owner = service and client[service] or client
	return owner[name or call], owner
end

-- Makes a call by its name.
local function run(client, call, ...)
	local f, owner = method(client, call)
	return f(owner, ...)
end

return {
	requests = requests, calls = calls, fields = fields, least = least, waits = waits, shares = shares, method = method,
	run = run,
}
