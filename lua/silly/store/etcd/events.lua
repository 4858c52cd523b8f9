-- What a stream whose responses have events is read by: response by response, or event by event. A loop over its events
-- that is left loses nothing.
--
-- In: an object with its native half in `native`, the responses that a loop has begun in `begun`, and in `at` the next
-- event of the first of them. Out: what its methods return.

local read = require "silly.store.etcd.read"

---@class silly.store.etcd.events
---@field loop silly.store.etcd.loop
---@field native silly.store.etcd.native.reader
---@field begun table[]  responses which a loop over events has begun, or that came behind one
---@field at integer  the next event of the first of them

local events = {}

--- Forgets what is begun.
---@param self silly.store.etcd.events
function events.clear(self)
	self.begun, self.at = {}, 1
end

-- The rest of the oldest response, of which a loop over events has taken some.
local function rest(self)
	local response = table.remove(self.begun, 1)
	local from = self.at
	self.at = 1
	if from == 1 then
		return response
	end
	local left = {}
	for i = from, #response.events do
		left[#left + 1] = response.events[i]
	end
	local copy = {}
	for name, value in pairs(response) do
		copy[name] = value
	end
	copy.events = left
	return copy
end

--- The next response.
---@async
---@param self silly.store.etcd.events
---@param seconds number?
---@return table? response
---@return string? message
---@return silly.store.etcd.info? info
function events.read(self, seconds)
	if self.begun[1] then
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

--- What iterates over the events, and ends when the stream is closed. Any other end is raised.
---@param self silly.store.etcd.events
---@return async fun(): table?, table?
function events.iterate(self)
	---@async
	return function()
		while true do
			local event, from = take(self)
			if event then
				return event, from
			end
			local response, message, info = read(self, self.native)
			if response then
				-- Behind what another loop over the same stream may have begun meanwhile.
				table.insert(self.begun, response)
			elseif info.code == "closed" then
				return nil
			else
				error(message, 2)
			end
		end
	end
end

return events
