-- What the methods of an object of silly.resty.etcd have in common. In: a request of `silly.store.etcd`, and how its
-- response becomes a body. Out: what a method returns: a response, `{ status, headers, body }` in the shape of etcd's
-- HTTP gateway; or nil, a message, and the info of `silly.store.etcd` where that has one.

local failure = require "silly.resty.etcd.failure"
local notes = require "silly.resty.etcd.notes"
local pool = require "silly.resty.etcd.pool"

---@class silly.resty.etcd.response
---@field status integer  200, or that of the gateway for what the server has refused
---@field reason string
---@field headers table
---@field body table

---@class (partial) silly.resty.etcd.client
---@field endpoints silly.resty.etcd.endpoint[]
---@field timeout integer
---@field key_prefix string
---@field serializer silly.resty.etcd.serializer
---@field is_auth boolean
---@field ssl_verify boolean
---@field client silly.store.etcd.client?
---@field process integer?  that has made it
---@field closed boolean?
local client = {}
client.__index = client

local M = { methods = client }

-- nginx's default of `lua_socket_connect_timeout`, which a timeout of 0 stands for.
local UNSET = 60

--- The seconds that a request with these options may take.
---@param opts table?
---@return number
function client:seconds(opts)
	local seconds = opts and opts.timeout or self.timeout
	return seconds == 0 and UNSET or seconds
end

--- Makes the call `name`. The body of its response is what `shape` makes of it.
---@async
---@param self silly.resty.etcd.client
---@param name string
---@param request table
---@param opts table?
---@param shape fun(response: table, codec: table?): table
---@param codec table?
---@param service string?  of the client, whose call it is
---@return silly.resty.etcd.response?
---@return string? message
---@return silly.store.etcd.info? info
function M.call(self, name, request, opts, shape, codec, service)
	local native, problem = pool.client(self)
	if not native then
		return nil, problem
	end
	request.timeout = self:seconds(opts)
	local owner = service and native[service] or native
	local response, message, info = owner[name](owner, request)
	notes.tell()
	if not response then
		return failure.result(self, message, info)
	end
	return { status = 200, reason = "OK", headers = {}, body = shape(response, codec) }
end

return M
