-- The services of etcd that a client has under names of their own: `client.auth`, `client.cluster` and
-- `client.maintenance`. In: the names of their calls, `auth.enable`. Out: for each service a function that makes its
-- object, which is one of the fields of a client.

local await = require "silly.store.etcd.await"
local core = require "silly.store.etcd.core"
local object = require "silly.store.etcd.object"
local pcall = require("silly.store.etcd.protect").pcall
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.service
---@field client silly.store.etcd.client

---@type table<string, fun(client: silly.store.etcd.client): any>
local services = {}

-- The methods of a service, and the function that makes its objects.
local function service(name)
	local methods = {}
	local mt, check = object.kind("client." .. name, methods, function(self)
		return self.client.native:describe(), self.client.native:closed() and "closed" or nil
	end)
	-- A client is closed, not a part of it.
	mt.__close = nil
	services[name] = function(client)
		return setmetatable({ client = client }, mt)
	end
	return { methods = methods, check = check }
end

-- Name -> its methods and its check.
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

local maintenance, checkmaintenance = kinds.maintenance.methods, kinds.maintenance.check

local function functions(req)
	if type(req) == "table" then
		return req.progress, req.chunk
	end
end

--- Copies the whole store of a member, to a file or to a function. Functions of the request run in the caller's own
--- coroutine, between two pieces; an error in one gives the snapshot up and goes on.
---@async
---@param req silly.store.etcd.maintenance.snapshot|string
---@return silly.store.etcd.maintenance.snapshot.response? response
---@return string? message
---@return silly.store.etcd.info? info
function maintenance:snapshot(req, more)
	local client = checkmaintenance(self, "snapshot").client
	-- Now, since the caller may change the table meanwhile. What raises here is refused below.
	local _, progress, chunk = pcall(functions, req)
	local stream, message, info = await(client, client.native, "maintenance.snapshot", req, more)
	if not stream then
		return nil, message, info
	end
	while true do
		local piece
		piece, message, info = read(client, stream)
		if not piece then
			object.close(stream)
			return nil, message, info
		elseif piece.bytes then
			return piece
		end
		local ok, problem = true, nil
		if chunk then
			ok, problem = pcall(chunk, piece.chunk)
		end
		if ok and progress then
			ok, problem = pcall(progress, piece.done, piece.total)
		end
		if not ok then
			object.close(stream)
			error(problem, 0)
		end
	end
end

return services
