-- The object that `client:watch` returns: every event of the watched keys exactly once, in order.

local object = require "silly.store.etcd.object"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.watch
---@field package client silly.store.etcd.client  keeps it from being collected, which would close it
---@field package native silly.store.etcd.native.reader
---@field package loop silly.store.etcd.loop
---@field package begun silly.store.etcd.watch.response[]  which a loop over events has begun, or one behind it
---@field package at integer  the next event of the first of them
local watch = {}

local mt, check = object.kind("watch", watch, function(self)
	local status = self.native:status()
	return tostring(self.client), (not status or status.state == "ended") and "ended" or nil
end)

-- The rest of the oldest response, of which a loop over events has taken some.
local function rest(self)
	local response = table.remove(self.begun, 1)
	local events = response.events
	local whole, from = {}, self.at
	self.at = 1
	if from == 1 then
		return response
	end
	for i = from, #events do
		whole[#whole + 1] = events[i]
	end
	local copy = {}
	for name, value in pairs(response) do
		copy[name] = value
	end
	copy.events = whole
	return copy
end

--- Waits for the next response. After the end of the watch every read says why it ended.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then and the watch lives on
---@return silly.store.etcd.watch.response? response
---@return string? message
---@return silly.store.etcd.info? info
function watch:read(seconds)
	if check(self, "read").begun[1] then
		return rest(self)
	end
	return read(self, self.native, seconds)
end

-- The next event of the oldest response, and the response; none where there is none.
local function take(self)
	local response = self.begun[1]
	if response then
		local event = response.events[self.at]
		self.at = self.at + 1
		if not response.events[self.at] then
			table.remove(self.begun, 1)
			self.at = 1
		end
		return event, response
	end
end

--- Iterates over the events: `for event, response in stream:events() do`. A loop that is left loses nothing: the next
--- one, or `read`, goes on there. It ends when the watch or its client is closed; any other end is raised, and `read`
--- gives it as `nil, message, info`.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.watch.response?
function watch:events()
	check(self, "events")
	---@async
	return function()
		while true do
			local event, from = take(self)
			if event then
				return event, from
			end
			local response, message, info = read(self, self.native)
			if response then
				-- Behind what another loop over the same watch may have begun meanwhile.
				table.insert(self.begun, response)
			elseif info.code == "closed" then
				return nil
			else
				error(message, 2)
			end
		end
	end
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
	self.begun, self.at = {}, 1
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
