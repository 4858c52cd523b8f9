-- The object that `client:scan` returns: all keys of a range as they were at one revision, page by page.

local failure = require "silly.store.etcd.failure"
local object = require "silly.store.etcd.object"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.scan
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package loop silly.store.etcd.loop
---@field package pages silly.store.etcd.native.reader  the native half
---@field package over boolean  the last page was read
---@field package closed boolean
local scan = {}

local mt, check = object.kind("scan", scan, function(self)
	return tostring(self.client), self.closed and "closed" or self.over and "ended" or nil
end)

---@async
local function page(self, seconds)
	if self.closed then
		return failure("scan", "closed", "the scan is closed")
	end
	local response, message, info = read(self, self.pages, seconds)
	if response then
		self.over = not response.more
		return response
	elseif self.over and info.code == "closed" then
		return nil
	end
	return nil, message, info
end

--- The next page, nil after the last. Where the keys could not be read to their end: nil, why not, and the info.
---@async
---@nodiscard
---@param seconds number?  to wait at the most; nil, "timeout" is returned then
---@return silly.store.etcd.get.response? response
---@return string? message
---@return silly.store.etcd.info? info
function scan:read(seconds)
	return page(check(self, "read"), seconds)
end

--- Iterates over the keys: `for kv in users:kvs() do`. Raises an error where they could not be read to their end; a
--- scan that was closed ends.
---@nodiscard
---@return async fun(): silly.store.etcd.kv?
function scan:kvs()
	check(self, "kvs")
	local kvs, at = {}, 0
	---@async
	return function()
		at = at + 1
		while not kvs[at] do
			local response, message = page(self)
			if response then
				kvs, at = response.kvs, 1
			elseif message and not self.closed then
				error(message, 2)
			else
				return nil
			end
		end
		return kvs[at]
	end
end

--- Gives the scan up. What was not read is dropped, and reads under way end. May be called again.
function scan:close()
	check(self, "close").closed = true
	object.close(self.pages)
end

local M = {}

--- Wraps the native half of a scan.
---@param client silly.store.etcd.client
---@param began table  header, revision, count and the native half in `pages`
---@return silly.store.etcd.scan
function M.new(client, began)
	began.client, began.loop, began.over, began.closed = client, client.loop, false, false
	return setmetatable(began, mt)
end

return M
