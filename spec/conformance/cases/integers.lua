-- 64-bit integers, exact in both directions. Where Lua has none of its own, ids are decimal strings, but for 0.

local largest = math.maxinteger -- luacheck: ignore 143
local native = largest ~= nil
local jit = rawget(_G, "jit")

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
	end },

	{ name = "the id 0, which is none, is a number", run = function(t, client)
		assert(client:put { key = t.prefix, value = "" })
		t.equal(0, assert(client:get { key = t.prefix }).kvs[1].lease)
		local response = assert(client:txn { success = { { put = { key = t.prefix, value = "" } } } })
		local header = response.responses[1].put.header
		t.equal(0, header.cluster_id)
		t.equal(0, header.member_id)
		t.equal(0, header.raft_term)
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

	{ name = "an unsigned id that was handed out is taken back", run = function(t, client)
		local header = assert(client:get { key = t.prefix }).header
		for _, name in ipairs { "cluster_id", "member_id" } do
			assert(client:ttl { ID = header[name] })
		end
		for _, id in ipairs { "13803658152347727308", "0xbf9071f4639c75cc" } do
			t.equal(native and math.tointeger "-4643085921361824308" or "-4643085921361824308", -- luacheck: ignore 143
				assert(client:ttl { ID = id }).ID)
		end
		t.fails("invalid_argument", client:get { key = t.prefix, revision = "13803658152347727308" })
	end },

	{ name = "LuaJIT's 64-bit integers are integers", skip = function() return not jit and "LuaJIT" end, run =
		function(t, client)
			local ffi = require "ffi"
			for _, kind in ipairs { "int64_t", "uint64_t", "const int64_t", "long", "size_t" } do
				local function integer(text)
					return ffi.new(kind, assert(load("return " .. text .. (kind:find "^[us]" and "ULL" or "LL")))())
				end
				for _, id in ipairs { "1", "42", "9007199254740993", "9223372036854775807" } do
					t.equal(id, assert(client:ttl { ID = integer(id) }).ID)
					assert(client:txn { compare = {
						{ key = "k", target = "MOD", result = "LESS", mod_revision = integer(id) },
						{ key = "k", target = "VERSION", result = "LESS", version = integer(id) },
						{ key = "k", target = "CREATE", result = "LESS", create_revision = integer(id) },
						{ key = "k", target = "LEASE", result = "LESS", lease = integer(id) },
					} })
				end
				local options = { key = t.prefix, limit = integer "1", timeout = integer "5", retry = integer "0" }
				assert(client:get(options))
				local lease = assert(client:grant { TTL = integer "60" })
				t.equal(60, lease.TTL)
				local stream = assert(client:watch { key = t.prefix, revision = integer "1" })
				t.equal(nil, (stream:read(integer "0")))
				stream:close()
				assert(client:revoke { ID = lease.ID })
			end
			t.equal("-1", assert(client:ttl { ID = assert(load "return 0xffffffffffffffffULL")() }).ID)
			t.equal("-1", assert(client:ttl { ID = ffi.new("int64_t", -1) }).ID)
			t.fails("invalid_argument", client:get { key = t.prefix, revision = assert(load "return 0xffffffffffffffffULL")() })
			t.fails("invalid_argument", client:get { key = t.prefix, revision = ffi.new("int64_t", -1) })
		end },

	{
		name = "a reader that waits again takes LuaJIT's integers",
		skip = function(host) return not jit and "LuaJIT" or not host.fork and "calls block here" end,
		run = function(t, client)
			local stream, seconds = assert(client:watch { key = t.prefix }), assert(load "return 60LL")()
			local function reader()
				assert(stream:read(seconds))
			end
			t.together {
				reader, reader,
				function()
					for _ = 1, 2 do
						assert(client:put { key = t.prefix, value = "" })
					end
				end,
			}
			stream:close()
		end,
	},

	{ name = "what else LuaJIT's FFI makes is named", skip = function() return not jit and "LuaJIT" end, run =
		function(t, client)
			local ffi = require "ffi"
			local structure = ffi.typeof "struct { char c; }"
			ffi.metatype(structure, { __tostring = function() return "42LL" end, __index = error, __eq = error, __call = error })
			for name, value in pairs {
				["cdata<int>"] = ffi.new("int", 1), ["cdata<double>"] = ffi.new("double", 1),
				["cdata<bool>"] = ffi.new("bool", true), ["cdata<void *>"] = ffi.cast("void *", 0),
				["cdata<struct "] = structure(), ["ctype<int64_t>"] = ffi.typeof "int64_t",
				["cdata<int64_t [2]>"] = ffi.new "int64_t[2]",
				["cdata<int64_t &>"] = ffi.cast("int64_t &", ffi.cast("void *", 0)),
			} do
				for _, request in ipairs {
					{ key = t.prefix, revision = value }, { key = value }, { key = t.prefix, timeout = value },
					{ key = t.prefix, prefix = value }, { key = t.prefix, sort_order = value }, value, { key = t.prefix, [value] = 1 },
				} do
					local message = t.fails("invalid_argument", client:get(request))
					assert(message:find(name, 1, true), message)
				end
			end
		end },

	{ name = "what is no integer, or not exact, is refused", run = function(t, client)
		for _, id in ipairs { 1.5, 0 / 0, 1 / 0, 2 ^ 64, "18446744073709551616", "1.5", "", "ten", {}, true } do
			local _, info = t.fails("invalid_argument", client:grant { ID = id, TTL = 60 })
			t.equal("ID", info.field)
		end
		for _, ttl in ipairs { 2 ^ 63, "9223372036854775808" } do
			t.fails("invalid_argument", client:grant { TTL = ttl })
		end
		if not native then
			t.fails("invalid_argument", client:grant { ID = 2 ^ 53, TTL = 60 })
		end
		t.equal(60, assert(client:grant { TTL = 60.0, keepalive = false }).TTL)
		t.equal(60, assert(client:grant { TTL = "60", keepalive = false }).TTL)
	end },
}
