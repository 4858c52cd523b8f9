-- The methods of silly.resty.etcd for keys. In: keys, values and options of lua-resty-etcd. Out: see
-- silly.resty.etcd.call.

local calls = require "silly.resty.etcd.call"
local requests = require "silly.resty.etcd.requests"
local responses = require "silly.resty.etcd.responses"

local call = calls.call

---@class (partial) silly.resty.etcd.client
local client = calls.methods

local NONE = {}

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

---@async
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
---@async
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

---@async
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
