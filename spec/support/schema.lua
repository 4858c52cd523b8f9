-- The requests of all calls: what they require, and what their fields hold: `boolean`, `string`, `integer`, `id`, one
-- of several words, or `list`. Beside them each takes the options of failures.

local requests = {
-- docs: requests
	put = {
		required = { "key", "value" },
		fields = {
			key = "string",
			value = "string",
			lease = "id",
			prev_kv = "boolean",
			ignore_value = "boolean",
			ignore_lease = "boolean",
		},
	},
	get = {
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
		},
	},
	delete = {
		required = { "key" },
		fields = {
			key = "string",
			prefix = "boolean",
			fromkey = "boolean",
			range_end = "string",
			prev_kv = "boolean",
		},
	},
	compact = {
		required = { "revision" },
		fields = {
			revision = "integer",
			physical = "boolean",
		},
	},
	revoke = {
		required = { "ID" },
		fields = {
			ID = "id",
		},
	},
	ttl = {
		required = { "ID" },
		fields = {
			ID = "id",
			keys = "boolean",
		},
	},
	leases = {
		required = { },
		fields = {},
	},
	txn = {
		required = { },
		fields = {
			compare = "list",
			success = "list",
			failure = "list",
		},
	},
	grant = {
		required = { "TTL" },
		fields = {
			TTL = "integer",
			ID = "id",
			keepalive = "boolean",
		},
	},
	keepalive = {
		required = { "ID" },
		fields = {
			ID = "id",
			keepalive = "boolean",
		},
	},
	watch = {
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

-- The least that each call needs, from a value for each field that some call requires.
local function least(values)
	local all = {}
	for call, request in pairs(requests) do
		all[call] = {}
		for _, field in ipairs(request.required) do
			all[call][field] = values[field]
		end
	end
	return all
end

return { requests = requests, calls = calls, fields = fields, least = least }
