rockspec_format = "3.0"
package = "silly-etcd"
version = "scm-1"

-- For `luarocks make` in a checkout; a release names its archive here.
source = { url = "." }

description = {
	summary = "etcd v3 client for Lua, written in Rust",
	detailed = [[
		etcd v3 for any Lua program, written as if every call blocked: keys, transactions, leases and watches. Works
		under silly, OpenResty, skynet, Neovim, Tarantool, lua-eco, luv, cqueues, copas and plain Lua. Building it takes
		cargo.
	]],
	license = "MIT",
	labels = { "etcd", "grpc", "async", "rust" },
}

supported_platforms = { "linux" }

dependencies = { "lua >= 5.1, < 5.6" }

build = {
	type = "make",
	build_target = "build",
	build_variables = {
		LUA = "$(LUA)",
		-- Not used; LuaRocks warns when it is not passed.
		CFLAGS = "$(CFLAGS)",
	},
	install_variables = {
		LUA = "$(LUA)",
		BINDIR = "$(BINDIR)",
		LIBDIR = "$(LIBDIR)",
		LUADIR = "$(LUADIR)",
		DOCDIR = "$(DOCDIR)",
		WITHOUT = "silly/resty",
	},
}

-- LuaRocks' wrapper would run scripts with the Lua of the rock that was installed last, whatever $LUA says.
deploy = { wrap_bin_scripts = false }

test = { type = "command", command = "make test" }
