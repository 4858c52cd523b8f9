-- The object that `silly.resty.etcd.new` returns: the methods of lua-resty-etcd. Here are those that are no single
-- call; the others are in keys.lua and leases.lua. In: its fields. Out: the object.

local calls = require "silly.resty.etcd.call"
local pool = require "silly.resty.etcd.pool"
local watch = require "silly.resty.etcd.watch"
require "silly.resty.etcd.keys"
require "silly.resty.etcd.leases"

---@class (partial) silly.resty.etcd.client
local client = calls.methods

local NONE = {}

--- Watches a key.
---@async
---@param key string
---@param opts table?  `timeout`, `start_revision`, `progress_notify`, `filters`, `prev_kv`, `watch_id`, `need_cancel`
---@return (async fun(): table?, string?)? read
---@return string? message
---@return silly.resty.etcd.watch? handle  with `need_cancel`
function client:watch(key, opts)
	return watch.open(self, key, false, opts or NONE)
end

--- Watches all keys that begin with `key`.
---@async
---@param key string
---@param opts table?  as `watch` has
---@return (async fun(): table?, string?)? read
---@return string? message
---@return silly.resty.etcd.watch? handle  with `need_cancel`
function client:watchdir(key, opts)
	return watch.open(self, key, true, opts or NONE)
end

--- Ends a watch.
---@param handle silly.resty.etcd.watch
---@return integer? done  1
---@return string? message
function client.watchcancel(_, handle)
	return handle:close()
end

--- Watches all keys that begin with `key`.
---@async
---@param key string
---@param attr table
---@param opts { timeout: number? }?
---@return (async fun(): table?, string?)? stream
---@return string? message
function client:create_grpc_watch_stream(key, attr, opts)
	local options = { timeout = opts and opts.timeout }
	for name, value in pairs(attr) do
		options[name] = options[name] or value
	end
	local stream, problem = watch.open(self, key, true, options)
	if stream then
		stream() -- what says that it was created
	end
	return stream, problem
end

--- The next chunk of a watch.
---@async
---@param stream async fun(): table?, string?
---@return table? chunk
---@return string? message
function client.read_grpc_watch_stream(_, stream)
	return stream()
end

local function version(message)
	return { etcdserver = message.version, storage = message.storageVersion ~= "" and message.storageVersion or nil }
end

--- The version of a member; that of the cluster is not told.
---@async
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:version()
	return calls.call(self, "status", {}, nil, version, nil, "maintenance")
end

--- Lets go of what the object holds; its calls return `closed` from then on.
function client:close()
	pool.close(self)
end

local M = {}

---@param self table  the fields
---@return silly.resty.etcd.client
function M.new(self)
	return setmetatable(self, client)
end

return M
