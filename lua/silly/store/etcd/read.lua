-- Reads the next thing that a stream has brought, and waits for it as long as there is none.
--
-- Several coroutines may read one stream: each thing goes to one of them, and a reader that comes too late waits on.

local await = require "silly.store.etcd.await"
local core = require "silly.store.etcd.core"
local ending = require("silly.store.etcd.loop").ending
local failure = require "silly.store.etcd.failure"

--- Reads the next thing.
---@async
---@param owner { loop: silly.store.etcd.loop }  the object of the stream
---@param native silly.store.etcd.native.reader  its native half
---@param seconds number?  to wait at the most
---@return_overload table
---@return_overload nil, string, silly.store.etcd.info
local function read(owner, native, seconds)
	local deadline
	while true do
		local next, message, info = native:take(seconds)
		if next ~= false then
			return next, message, info
		end
		local problem = ending(owner.loop)
		if problem then
			return failure("read", "closed", problem)
		end
		deadline = deadline or seconds and core:monotonic() + assert(tonumber(seconds)) * 1000
		local ready
		ready, message, info = await(owner, native, "read", seconds)
		if not ready then
			problem = ending(owner.loop)
			if problem and assert(info).code == "closed" then
				return failure("read", "closed", problem)
			end
			return nil, message, info
		end
		seconds = deadline and math.max(0, (deadline - core:monotonic()) / 1000)
	end
end

return read
