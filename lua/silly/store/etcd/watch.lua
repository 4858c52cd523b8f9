-- The object that `client:watch` returns: every event of the watched keys exactly once, in order.

local read = require "silly.store.etcd.read"

---@class silly.store.etcd.watch
---@field private client silly.store.etcd.client  keeps it from being collected, which would close it
---@field private native userdata
---@field private loop silly.store.etcd.loop
---@field private ended boolean
local watch = {}

local mt = { __index = watch, __name = "silly.store.etcd.watch" }

--- Waits for the next response. After the end of the watch every read says why it ended.
---@param seconds number?  at the most; nil, "timeout" is returned then and the watch lives on
---@return silly.store.etcd.watch.response? response
---@return string? message
---@return silly.store.etcd.info? info
function watch:read(seconds)
	return read(self, self.native, seconds)
end

--- Iterates over the events until the watch ends: `for event, response in stream:events() do`. `read` then says why.
---@return fun(): silly.store.etcd.event?, silly.store.etcd.watch.response?
function watch:events()
	local response, i
	return function()
		while not (response and response.events[i]) do
			response, i = self:read(), 1
			if not response then
				return nil
			end
		end
		i = i + 1
		return response.events[i - 1], response
	end
end

--- What the watch is doing: silence is told from loss. Costs no call.
---@return silly.store.etcd.watch.status? status  nil in a forked child
---@return string? message
---@return silly.store.etcd.info? info
function watch:status()
	return self.native:status()
end

--- Ends the watch. What was not read is dropped, and reads under way end. May be called again.
function watch:close()
	self.ended = true
	self.native:close()
end

watch.cancel = watch.close
mt.__close = watch.close

function mt:__tostring()
	return ("%s: %s%s"):format(mt.__name, tostring(self.client), self.ended and " (closed)" or "")
end

local M = {}

--- Wraps the native half of a watch.
---@param client silly.store.etcd.client
---@param native userdata
---@return silly.store.etcd.watch
function M.new(client, native)
	return setmetatable({ client = client, native = native, loop = client.loop, ended = false }, mt)
end

return M
