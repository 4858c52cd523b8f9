-- The object that `silly.resty.etcd.new` returns: the methods of lua-resty-etcd. Each returns a response,
-- `{ status, headers, body }` in the shape of etcd's HTTP gateway; or nil, a message, and the info of
-- `silly.store.etcd` where that has one.

local failure = require "silly.resty.etcd.failure"
local notes = require "silly.resty.etcd.notes"
local pool = require "silly.resty.etcd.pool"
local requests = require "silly.resty.etcd.requests"
local responses = require "silly.resty.etcd.responses"
local watch = require "silly.resty.etcd.watch"

---@class silly.resty.etcd.response
---@field status integer  200, or that of the gateway for what the server has refused
---@field reason string
---@field headers table
---@field body table

---@class silly.resty.etcd.client
---@field endpoints silly.resty.etcd.endpoint[]
---@field timeout integer
---@field key_prefix string
---@field serializer silly.resty.etcd.serializer
---@field is_auth boolean
---@field ssl_verify boolean
---@field client silly.store.etcd.client?
---@field process integer?  that has made it
---@field closed boolean?
local client = {}
client.__index = client

local NONE = {}

-- nginx's default of `lua_socket_connect_timeout`, which a timeout of 0 stands for.
local UNSET = 60

--- The seconds that a request with these options may take.
---@param opts table?
---@return number
function client:seconds(opts)
	local seconds = opts and opts.timeout or self.timeout
	return seconds == 0 and UNSET or seconds
end

-- A response of which the body is what `shape` makes of it.
local function respond(shape, response, codec)
	return { status = 200, reason = "OK", headers = {}, body = shape(response, codec) }
end

local function call(self, name, request, opts, shape, codec)
	local native, problem = pool.client(self)
	if not native then
		return nil, problem
	end
	request.timeout = self:seconds(opts)
	local response, message, info = native[name](native, request)
	notes.tell()
	if not response then
		return failure.result(self, message, info)
	end
	return respond(shape, response, codec)
end

local function full(self, key)
	if type(key) ~= "string" and type(key) ~= "number" then
		return nil, "key must be string"
	end
	return self.key_prefix .. key
end

local function not_empty(self, key)
	local whole, problem = full(self, key)
	if whole == "" then
		return nil, "key should not be empty"
	end
	return whole, problem
end

local function read(self, key, directory, opts)
	local whole, problem = not_empty(self, key)
	if not whole then
		return nil, problem
	end
	local request = requests.range(whole, directory, opts or NONE)
	return call(self, "get", request, opts, responses.range, responses.decoded(self.serializer))
end

--- Reads a key.
---@async
---@param key string
---@param opts { timeout: number?, revision: integer? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:get(key, opts)
	if type(key) ~= "string" then
		return nil, "key must be string"
	end
	return read(self, key, false, opts)
end

--- Reads all keys that begin with `key`.
---@async
---@param key string
---@param opts table?  `timeout`, `revision`, `limit`, `sort_order`, `sort_target`, `keys_only`, `count_only`
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:readdir(key, opts)
	return read(self, key, true, opts)
end

--- Stores a value under a key.
---@async
---@param key string
---@param val any
---@param opts table?  `timeout`, `lease`, `prev_kv`, `ignore_value`, `ignore_lease`
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:set(key, val, opts)
	local whole, problem = not_empty(self, key)
	if not whole then
		return nil, problem
	end
	local value, reason = self.serializer.serialize(val)
	if value == nil then
		return nil, reason
	end
	opts = opts or NONE
	local request = {
		key = whole,
		value = value,
		lease = opts.lease or nil,
		prev_kv = opts.prev_kv and true or nil,
		ignore_value = opts.ignore_value and true or nil,
		ignore_lease = opts.ignore_lease and true or nil,
	}
	return call(self, "put", request, opts, responses.put, responses.encoded)
end

-- A transaction that writes a key in the list `when`, by whether it is new.
local function set_when(self, when, key, val, opts)
	local whole, problem = full(self, key)
	if not whole then
		return nil, problem
	end
	local value, reason = self.serializer.serialize(val)
	if value == nil then
		return nil, "failed to encode val: " .. tostring(reason)
	end
	local request = {
		compare = { { key = whole, create_revision = 0 } },
		[when] = { { put = { key = whole, value = value } } },
	}
	return call(self, "txn", request, opts, responses.txn, responses.encoded)
end

--- Stores a value under a key that does not exist.
---@async
---@param key string
---@param val any
---@param opts { timeout: number? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:setnx(key, val, opts)
	return set_when(self, "success", key, val, opts)
end

--- Stores a value under a key that exists: `succeeded` is absent then.
---@async
---@param key string
---@param val any
---@param opts { timeout: number? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:setx(key, val, opts)
	return set_when(self, "failure", key, val, opts)
end

local function delete(self, key, directory, opts)
	local whole, problem = full(self, key)
	if not whole then
		return nil, problem
	end
	local request = {
		key = whole,
		-- etcd refuses an empty key here.
		prefix = directory and whole ~= "",
		prev_kv = opts and opts.prev_kv and true or nil,
	}
	return call(self, "delete", request, opts, responses.delete, responses.encoded)
end

--- Deletes a key.
---@async
---@param key string
---@param opts { timeout: number?, prev_kv: boolean? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:delete(key, opts)
	return delete(self, key, false, opts)
end

--- Deletes all keys that begin with `key`.
---@async
---@param key string
---@param opts { timeout: number?, prev_kv: boolean? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:rmdir(key, opts)
	return delete(self, key, true, opts)
end

--- Compares, then runs one of two lists of operations.
---@async
---@param compare table[]
---@param success table[]?
---@param failed table[]?
---@param opts { timeout: number? }?
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:txn(compare, success, failed, opts)
	if not compare or #compare < 1 then
		return nil, "compare couldn't be empty"
	elseif #(success or NONE) < 1 and #(failed or NONE) < 1 then
		return nil, "success and failure couldn't be empty at the same time"
	end
	local request, problem = requests.txn(self, compare, success, failed)
	if not request then
		return nil, problem
	end
	return call(self, "txn", request, opts, responses.txn, responses.encoded)
end

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

--- Creates a lease, and does not renew it.
---@async
---@param ttl integer
---@param id integer|string|nil
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:grant(ttl, id)
	if ttl == nil then
		return nil, "lease grant command needs TTL argument"
	elseif type(ttl) ~= "number" or ttl % 1 ~= 0 then
		return nil, "ttl must be integer"
	end
	return call(self, "grant", { TTL = ttl, ID = id, keepalive = false }, nil, responses.grant)
end

--- Ends a lease and deletes its keys.
---@async
---@param id integer|string
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:revoke(id)
	if id == nil then
		return nil, "lease revoke command needs ID argument"
	end
	return call(self, "revoke", { ID = id }, nil, responses.revoke)
end

-- etcd responds to the renewal of a lease that is gone, with no TTL.
local function renewed(message)
	return { result = responses.grant(message) }
end

local function gone(message)
	return { result = { header = responses.header(message.header), ID = tostring(message.ID) } }
end

--- Renews a lease once.
---@async
---@param id integer|string
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:keepalive(id)
	if id == nil then
		return nil, "lease keepalive command needs ID argument"
	end
	local response, message, info = call(self, "keepalive", { ID = id }, nil, renewed)
	if not response and info and info.code == "not_found" then
		return call(self, "ttl", { ID = id }, nil, gone)
	end
	return response, message, info
end

--- Asks how long a lease still lives.
---@async
---@param id integer|string
---@param keys boolean?  also list its keys
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:timetolive(id, keys)
	if id == nil then
		return nil, "lease timetolive command needs ID argument"
	end
	return call(self, "ttl", { ID = id, keys = keys and true or nil }, nil, responses.ttl)
end

--- Lists the leases of the cluster.
---@async
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function client:leases()
	return call(self, "leases", {}, nil, responses.leases)
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
	local native, problem = pool.client(self)
	if not native then
		return nil, problem
	end
	local response, message, info = native.maintenance:status { timeout = self:seconds() }
	notes.tell()
	if not response then
		---@cast message string
		---@cast info silly.store.etcd.info
		return failure.result(self, message, info)
	end
	return respond(version, response)
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
