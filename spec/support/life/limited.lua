-- One lua_State that may grow by so many bytes while the module is loaded. In: endpoint, bytes, a file to write.
-- Out: an error unless require works or raises a Lua error, and works once there is memory. The file is made if it
-- worked at once.

local host = require "host"

local endpoint, bytes, worked = ...

host.limit(tonumber(bytes))
local ok = pcall(require, "silly.store.etcd")
host.limit()
if ok then
	assert(io.open(worked, "w")):close()
end

local client = require("silly.store.etcd").newclient { endpoints = { endpoint } }
assert(client:get { key = "a" })
