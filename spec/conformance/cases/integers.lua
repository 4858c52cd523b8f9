-- 64-bit integers, exact in both directions. Where Lua has none of its own, ids are decimal strings.

local largest = math.maxinteger -- luacheck: ignore 143
local native = largest ~= nil

-- 2^63 - 1, and the first integer that a float cannot hold: by any notation.
local LARGE = {
	["9223372036854775807"] = { "9223372036854775807", "0x7fffffffffffffff", largest },
	["9007199254740993"] = { "9007199254740993", "0x20000000000001", native and 9007199254740992 + 1 or nil },
}

return {
	{ name = "ids go there and back", run = function(t, client)
		for decimal, notations in pairs(LARGE) do
			local id = native and notations[3] or decimal
			for _, notation in ipairs(notations) do
				t.equal(id, assert(client:grant { ID = notation, TTL = 60, keepalive = false }).ID)
				assert(client:put { key = t.prefix .. decimal, value = "", lease = notation })
				t.equal(id, assert(client:get { key = t.prefix .. decimal }).kvs[1].lease)
				t.equal(id, assert(client:ttl { ID = notation }).ID)
				t.equal(id, assert(client:keepalive { ID = notation }).ID)
				local listed = false
				for _, lease in ipairs(assert(client:leases()).leases) do
					listed = listed or lease.ID == id
				end
				t.equal(true, listed)
				t.equal(true, assert(client:txn { compare = {
					{ key = t.prefix .. decimal, target = "LEASE", result = "EQUAL", lease = notation },
				} }).succeeded)
				assert(client:revoke { ID = id })
				t.equal(0, assert(client:get { key = t.prefix .. decimal }).count)
			end
		end
	end },

	{ name = "unsigned ids are whole", run = function(t, client)
		local header = assert(client:get { key = t.prefix }).header
		for _, name in ipairs { "cluster_id", "member_id", "raft_term" } do
			local id = header[name]
			if native then
				t.equal("integer", math.type(id), name) -- luacheck: ignore 143
			else
				t.equal("string", type(id), name)
				assert(id:find "^%d+$", id)
			end
		end
		t.equal(native and 0 or "0",
			(assert(client:put { key = t.prefix, value = "" }) and assert(client:get { key = t.prefix })).kvs[1].lease)
	end },

	{ name = "large numbers are compared as they are", run = function(t, client)
		assert(client:put { key = t.prefix, value = "" })
		for decimal, notations in pairs(LARGE) do
			for _, notation in ipairs(notations) do
				for _, field in ipairs { "version", "mod_revision", "create_revision" } do
					local compare = { key = t.prefix, target = field:upper():gsub("_REVISION", ""), result = "LESS" }
					compare[field] = notation
					t.equal(true, assert(client:txn { compare = { compare } }).succeeded, decimal)
				end
			end
		end
		t.fails("out_of_range", client:get { key = t.prefix, revision = "9223372036854775807" })
	end },

	{ name = "what is no integer, or not exact, is refused", run = function(t, client)
		for _, id in ipairs { 1.5, 0 / 0, 1 / 0, 2 ^ 63, "9223372036854775808", "1.5", "", "ten", {}, true } do
			local _, info = t.fails("invalid_argument", client:grant { ID = id, TTL = 60 })
			t.equal("ID", info.field)
		end
		if not native then
			t.fails("invalid_argument", client:grant { ID = 2 ^ 53, TTL = 60 })
		end
		t.equal(60, assert(client:grant { TTL = 60.0, keepalive = false }).TTL)
		t.equal(60, assert(client:grant { TTL = "60", keepalive = false }).TTL)
	end },
}
