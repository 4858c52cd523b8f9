-- Clients that renew leases in the background, or keep registrations. That is a promise, and holds though Lua has
-- forgotten the client.

local promised = {} ---@type table<silly.store.etcd.client, true?>

local function keeps(client)
	return client.native:renews() or next(client.registrations) and not client.native:closed()
end

--- After a call that may have begun or ended that: looks which clients still do. Returns the results.
---@param client silly.store.etcd.client
---@param ... any the results of the call
---@return any ...
return function(client, ...)
	promised[client] = true
	for other in pairs(promised) do
		-- The collector may have taken the native half, at the end of the lua_State.
		local ok, still = pcall(keeps, other)
		promised[other] = ok and still and true or nil
	end
	return ...
end
