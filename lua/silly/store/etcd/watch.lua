-- The object that `client:watch` returns: every event of the watched keys exactly once, in order.

local events = require "silly.store.etcd.events"
local object = require "silly.store.etcd.object"

---@class silly.store.etcd.watch: silly.store.etcd.events
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
local watch = {}

local mt, check = object.kind("watch", watch, function(self)
	local status = self.native:status()
	return tostring(self.client), (not status or status.state == "ended") and "ended" or nil
end)

--- Waits for the next response. After the end of the watch every read says why it ended.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then and the watch lives on
---@return silly.store.etcd.watch.response? response
---@return string? message
---@return silly.store.etcd.info? info
function watch:read(seconds)
	return events.read(check(self, "read"), seconds)
end

--- Iterates over the events: `for event, response in stream:events() do`. A loop that is left loses nothing: the next
--- one, or `read`, goes on there. It ends when the watch or its client is closed; any other end is raised, and `read`
--- gives it as `nil, message, info`.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.watch.response?
function watch:events()
	return events.iterate(check(self, "events"))
end

--- What the watch is doing: silence is told from loss. Costs no call.
---@nodiscard
---@return silly.store.etcd.watch.status? status  nil in a forked child
---@return string? message
---@return silly.store.etcd.info? info
function watch:status()
	return check(self, "status").native:status()
end

--- Ends the watch. What was not read is dropped, and reads under way end. May be called again.
function watch:close()
	object.close(check(self, "close").native)
	events.clear(self)
end

watch.cancel = watch.close

local M = {}

--- Wraps the native half of a watch.
---@param client silly.store.etcd.client
---@param native silly.store.etcd.native.reader
---@return silly.store.etcd.watch
function M.new(client, native)
	return setmetatable({ client = client, native = native, loop = client.loop, begun = {}, at = 1 }, mt)
end

return M
