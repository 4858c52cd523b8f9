rockspec_format = "3.0"
package = "silly-etcd-resty"
version = "scm-1"

-- For `luarocks make` in a checkout; a release names its archive here.
source = { url = "." }

description = {
	summary = "The interface of lua-resty-etcd on silly-etcd",
	detailed = [[
		For programs that use lua-resty-etcd, APISIX among them: watches that resume by themselves, one connection for
		each worker, and gRPC. One line of nginx's configuration puts it in the place of `resty.etcd`.
	]],
	license = "MIT",
	labels = { "etcd", "openresty" },
}

dependencies = { "lua >= 5.1, < 5.6", "silly-etcd" }

-- Not `builtin`, which would also install what else is in lua/.
build = {
	type = "none",
	install = {
		lua = {
			["silly.resty.etcd"] = "lua/silly/resty/etcd.lua",
			["silly.resty.etcd.bans"] = "lua/silly/resty/etcd/bans.lua",
			["silly.resty.etcd.base64"] = "lua/silly/resty/etcd/base64.lua",
			["silly.resty.etcd.call"] = "lua/silly/resty/etcd/call.lua",
			["silly.resty.etcd.client"] = "lua/silly/resty/etcd/client.lua",
			["silly.resty.etcd.failure"] = "lua/silly/resty/etcd/failure.lua",
			["silly.resty.etcd.health_check"] = "lua/silly/resty/etcd/health_check.lua",
			["silly.resty.etcd.keys"] = "lua/silly/resty/etcd/keys.lua",
			["silly.resty.etcd.leases"] = "lua/silly/resty/etcd/leases.lua",
			["silly.resty.etcd.notes"] = "lua/silly/resty/etcd/notes.lua",
			["silly.resty.etcd.pool"] = "lua/silly/resty/etcd/pool.lua",
			["silly.resty.etcd.requests"] = "lua/silly/resty/etcd/requests.lua",
			["silly.resty.etcd.responses"] = "lua/silly/resty/etcd/responses.lua",
			["silly.resty.etcd.serializers"] = "lua/silly/resty/etcd/serializers.lua",
			["silly.resty.etcd.watch"] = "lua/silly/resty/etcd/watch.lua",
		},
	},
}
