-- What a lock and leadership have in common: both are a place in a queue that is held until it is lost.

local await = require "silly.store.etcd.await"
local object = require "silly.store.etcd.object"
local promise = require "silly.store.etcd.promise"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.holder
---@field header silly.store.etcd.header
---@field key string
---@field revision integer
---@field lease silly.store.etcd.id
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package loop silly.store.etcd.loop
---@field package native silly.store.etcd.native.holder
---@field package losses silly.store.etcd.native.reader

local holder = {}

--- Gives a kind of holder the methods that all have. What stands at the start of their messages is the kind.
---@param kind "lock"|"leader"
---@param methods table
---@return metatable mt
---@return fun(self: any, name: string): any check
function holder.kind(kind, methods)
	local mt, check = object.kind(kind, methods, function(self)
		return ("%s, %s"):format(self.key, tostring(self.client)), not self.native:held() and "not held" or nil
	end)

	function methods:held()
		return check(self, "held").native:held()
	end

	---@async
	function methods:wait(seconds)
		---@type silly.store.etcd.holder
		local this = check(self, "wait")
		return read(this, this.losses, seconds)
	end

	function methods:compare()
		check(self, "compare")
		return { { key = self.key, create_revision = self.revision }, { key = self.key, lease = self.lease } }
	end

	for _, call in ipairs { "put", "delete", "txn" } do
		local name = kind .. "." .. call
		---@async
		methods[call] = function(self, req, more)
			return await(self, check(self, call).native, name, req, more)
		end
	end

	function methods:close()
		---@type silly.store.etcd.holder
		local this = check(self, "close")
		holder.close(this)
	end

	return mt, check
end

--- Gives it up in the background.
---@param self silly.store.etcd.holder
function holder.close(self)
	object.close(self.native)
	promise(self.client)
end

--- Waits until what is held has been given up.
---@async
---@param self silly.store.etcd.holder
---@param name string  of the native method that gives it up
---@return true? done
---@return string? message
---@return silly.store.etcd.info? info
function holder.giveup(self, name)
	return promise(self.client, await(self, self.native, name))
end

--- Wraps the native half of a holder.
---@param mt metatable
---@param client silly.store.etcd.client
---@param made table  header, key, revision, lease and the native halves
---@return any
function holder.new(mt, client, made)
	made.client, made.loop = client, client.loop
	-- It is held until it is given up or lost, though the program may forget it.
	made.native:keep()
	return setmetatable(made, mt)
end

return holder
