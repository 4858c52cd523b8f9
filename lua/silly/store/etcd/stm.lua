-- `client:stm`: runs a function whose reads and writes are one transaction, again and again until nobody has changed
-- what it has read.

local await = require "silly.store.etcd.await"
local failure = require "silly.store.etcd.failure"
local object = require "silly.store.etcd.object"
local pcall = require("silly.store.etcd.protect").pcall

---@class silly.store.etcd.tx
---@field package loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.transaction
---@field package problem { message: string, info: silly.store.etcd.info }?  a read or a write that failed
---@field package anew boolean  the history of what was read is gone
---@field package over boolean
local tx = {}

local mt, check = object.kind("tx", tx, function(self)
	return "a transaction", self.over and "over" or nil
end)

-- What is raised where the function must not go on, whatever it catches.
local END = setmetatable({}, { __tostring = function() return "the transaction cannot go on" end })

-- The object, while the function may go on.
local function going(self, name)
	check(self, name)
	if self.over then
		error(name .. ": the transaction is over", 3)
	elseif self.problem or self.anew then
		error(END, 0)
	end
	return self
end

local function must(self, done, message, info)
	if not done then
		self.problem = { message = message, info = info }
		error(END, 0)
	end
	return done
end

--- What a key has, or the keys of a range. Sees what the function has written.
---@async
---@nodiscard
---@param req silly.store.etcd.tx.get|string
---@return any value  of the key; with a table the list of keys
function tx:get(req)
	local native = going(self, "get").native
	local kvs, message, info = native:get(req)
	if kvs == false then
		local read
		read, message, info = await(self, native, "stm.get", req)
		if read == false then
			self.anew = true
			error(END, 0)
		end
		must(self, read, message, info)
		kvs, message, info = native:get(req)
	end
	must(self, kvs, message, info)
	---@cast kvs silly.store.etcd.kv[]
	if type(req) == "table" then
		return kvs
	end
	-- The value alone, so that `tonumber(tx:get "n")` is right.
	return kvs[1] and kvs[1].value
end

--- Puts a key when the transaction commits.
---@param key silly.store.etcd.tx.put|string
---@param value string?
function tx:put(key, value)
	local native = going(self, "put").native
	must(self, native:put(type(key) == "table" and value == nil and key or { key = key, value = value }))
end

--- Deletes a key, or the keys of a range, when the transaction commits.
---@param req silly.store.etcd.tx.delete|string
function tx:delete(req)
	local native = going(self, "delete").native
	must(self, native:delete(req))
end

-- One run: what has become of it, and the first value.
---@async
local function attempt(client, native, apply, try)
	-- Each run has an object of its own, so that what is left of an earlier one writes nothing.
	local self = setmetatable({ client = client, loop = client.loop, native = native, anew = false, over = false }, mt)
	local ok, result, reason = pcall(apply, self)
	self.over = true
	-- What its methods have noted meanwhile.
	local problem = self.problem --[[@as { message: string, info: silly.store.etcd.info }?]]
	local anew = self.anew --[[@as boolean]]
	if problem then
		return nil, problem.message, problem.info
	elseif anew then
		return false
	elseif not ok then
		error(result, 0)
	elseif result == nil and reason ~= nil then
		return failure("stm", "cancelled", tostring(reason))
	end
	local response, message, info = await(self, native, "stm.commit", try)
	if response then
		response.result, response.tries = result, try
	end
	return response, message, info
end

local M = {}

--- Runs a function as a transaction, until it commits, fails, or has been tried often enough.
---@async
---@param client silly.store.etcd.client
---@param native silly.store.etcd.native.transaction
---@param apply fun(tx: silly.store.etcd.tx): any, any
---@param tries integer
---@param prefetches boolean
---@return silly.store.etcd.stm.response? response
---@return string? message
---@return silly.store.etcd.info? info
function M.run(client, native, apply, tries, prefetches)
	if prefetches then
		local read, message, info = await(client, native, "stm.prefetch")
		if not read then
			return nil, message, info
		end
	end
	for try = 1, tries do
		local response, message, info = attempt(client, native, apply, try)
		if response ~= false then
			return response, message, info
		end
		native:restart()
	end
	return failure("stm", "aborted", ("others have changed what was read during each of %d tries"):format(tries))
end

return M
