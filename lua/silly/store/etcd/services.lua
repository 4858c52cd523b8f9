-- The services of etcd that a client has under names of their own: `client.auth`, `client.cluster` and
-- `client.maintenance`. In: the names of their calls, `auth.enable`. Out: for each service a function that makes its
-- object, which is one of the fields of a client.

local await = require "silly.store.etcd.await"
local core = require "silly.store.etcd.core"
local object = require "silly.store.etcd.object"

---@class silly.store.etcd.service
---@field client silly.store.etcd.client

---@type table<string, fun(client: silly.store.etcd.client): any>
local services = {}

-- The methods of a service, and the function that makes its objects.
local function service(name)
	local methods = {}
	local mt, check = object.kind("client." .. name, methods, function(self)
		return self.client.native:endpoints(), self.client.native:closed() and "closed" or nil
	end)
	-- A client is closed, not a part of it.
	mt.__close = nil
	services[name] = function(client)
		return setmetatable({ client = client }, mt)
	end
	return { methods = methods, check = check }
end

local kinds = {}
for _, call in ipairs(core:calls()) do
	local name, method = call:match("^(%w+)%.(%w+)$")
	if name then
		kinds[name] = kinds[name] or service(name)
		local check = kinds[name].check
		---@async
		kinds[name].methods[method] = function(self, req, more)
			local client = check(self, method).client
			return await(client, client.native, call, req, more)
		end
	end
end

return services
