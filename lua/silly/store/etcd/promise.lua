-- Clients that renew leases in the background. That is a promise, and holds though Lua has forgotten the client.

local promised = {} ---@type table<silly.store.etcd.client, true?>

local function renews(native)
	return native:renews()
end

--- After a call that may have begun or ended a renewal: looks which clients still renew. Returns the results.
---@param client silly.store.etcd.client
---@param ... any the results of the call
---@return any ...
return function(client, ...)
	promised[client] = true
	for other in pairs(promised) do
		-- The collector may have taken the native half, at the end of the lua_State.
		local ok, still = pcall(renews, other.native)
		promised[other] = ok and still or nil
	end
	return ...
end
