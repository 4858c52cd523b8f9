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

dependencies = { "lua >= 5.1" }

build = {
	type = "make",
	build_target = "build",
	build_variables = {
		LUA = "$(LUA)",
		-- One name for every Lua version: a rockspec cannot ask for the version.
		BUILD = "build/rock",
		-- Not used; LuaRocks warns when it is not passed.
		CFLAGS = "$(CFLAGS)",
	},
	install_pass = false,
	install = {
		lib = { ["silly.store.etcd"] = "build/rock/silly/store/etcd.so" },
		lua = {
			["silly"] = "lua/silly.lua",
			["silly.encoding.json"] = "lua/silly/encoding/json.lua",
			["silly.sync.channel"] = "lua/silly/sync/channel.lua",
			["silly.sync.mutex"] = "lua/silly/sync/mutex.lua",
			["silly.sync.waitgroup"] = "lua/silly/sync/waitgroup.lua",
			["silly.task"] = "lua/silly/task.lua",
			["silly.time"] = "lua/silly/time.lua",
		},
		bin = { "bin/silly-run" },
	},
	copy_directories = { "docs", "library" },
}

test = { type = "command", command = "make test" }
