-- A configuration that is always here: read without a call, current within milliseconds, and there while etcd is down,
-- at the start too.
--   eval "$(make -s env)"
--   etcdctl put config/port 8080
--   lua5.4 examples/daemons/config.lua FILE
-- In: where a copy is kept for the next start. Out: each setting, at first and as it changes, until config/port is
-- deleted.

local etcd = require "silly.store.etcd"

local file = ...
local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

---@diagnostic disable-next-line: await-in-sync -- here it blocks
local config = assert(client:cache {
	key = "config/",
	prefix = true,
	decode = function(text) return tonumber(text) or text end,
	file = file,
	wait = 1,
})

io.stdout:setvbuf "line"
print(assert(config:status()).state)
for event in assert(config:changes { initial = true }):events() do
	-- Anywhere else in the program, too: `value` returns at once.
	print(event.kv.key, config:value(event.kv.key))
	if event.kv.key == "config/port" and event.type == "DELETE" then
		break
	end
end
client:close()
