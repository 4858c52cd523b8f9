-- `silly.resty.etcd`: the interface of lua-resty-etcd on this client, for programs that are written for that one.
-- In: the options of its `new`. Out: an object with its methods, see silly.resty.etcd.client; what is wrong with the
-- options is nil and its message. Nothing connects before the first call.
--
-- A program takes it by `package.loaded["resty.etcd"] = require "silly.resty.etcd"`.

local client = require "silly.resty.etcd.client"
local health_check = require "silly.resty.etcd.health_check"
local serializers = require "silly.resty.etcd.serializers"

---@class silly.resty.etcd
local etcd = {}

---@class silly.resty.etcd.options
---@field protocol string?  "v3"
---@field http_host string|string[]|nil  where etcd serves its clients; `http://127.0.0.1:2379` by default
---@field timeout integer?  seconds for a request, 5 by default
---@field key_prefix string?  comes before each key
---@field serializer string?  "json", which is the default, "raw", or X for the module `resty.etcd.serializers.X`
---@field user string?
---@field password string?
---@field ssl_verify boolean?  false trusts any server
---@field ssl_cert_path string?
---@field ssl_key_path string?
---@field ssl_cert string?
---@field ssl_key string?
---@field trusted_ca string?  whom to trust, a path or PEM text; the system's authorities by default
---@field sni string?  the name in the server's certificate
---@field extra_headers table<string, string>?  headers of each request
---@field unix_socket_proxy string?  `unix:/path`; used where it is there when the first call connects
---@field ttl integer?  has no effect
---@field api_prefix string?  has no effect
---@field init_count integer?  which endpoint is asked first: -1 for the first one; by default a random one
---@field use_grpc boolean?  has no effect

---@class silly.resty.etcd.endpoint
---@field http_host string  as it was given
---@field scheme string
---@field host string
---@field port string

local function integer(value)
	return type(value) == "number" and value % 1 == 0
end

local function one_of(types)
	return function(value) return types[type(value)] end
end

-- What an option must be, in the order in which they are looked at.
local CHECKS = {
	{ "timeout", "unsigned integer", function(value) return integer(value) and value >= 0 end },
	{ "http_host", "string or string array", one_of { string = true, table = true } },
	{ "ttl", "integer", integer },
	{ "key_prefix", "string", one_of { string = true } },
	{ "user", "string or ignore", one_of { string = true, ["nil"] = true } },
	{ "password", "string or ignore", one_of { string = true, ["nil"] = true } },
	{ "unix_socket_proxy", "string or ignore", one_of { string = true, ["nil"] = true } },
}

local DEFAULTS = { timeout = 5, http_host = "http://127.0.0.1:2379", ttl = -1, key_prefix = "" }

-- What else the object has under the name of its option.
local KEPT = { "ssl_cert_path", "ssl_key_path", "ssl_cert", "ssl_key", "trusted_ca", "extra_headers", "sni" }

local function endpoint(http_host)
	local scheme, address = tostring(http_host):match "^([^/]+)://([^/]+)$"
	address = address or ""
	local host, port = address:match "^([%w.-]+):?(%d*)$"
	if not host then
		host, port = address:match "^(%[[%x:]+%]):?(%d*)$"
	end
	if not scheme or not host then
		return nil, "invalid http host: " .. http_host .. ", err: not matched"
	end
	return { http_host = http_host, scheme = scheme, host = host, port = port ~= "" and port or "2379" }
end

--- Makes an object with the methods of lua-resty-etcd.
---@nodiscard
---@param opts silly.resty.etcd.options?
---@return silly.resty.etcd.client?
---@return string? message
function etcd.new(opts)
	opts = opts or {}
	if type(opts) ~= "table" then
		return nil, "opts must be table"
	elseif (opts.protocol or "v3") ~= "v3" then
		return nil, "only support etcd v3 api"
	end
	local self = {} ---@type table<string, any>
	for _, check in ipairs(CHECKS) do
		local name, value = check[1], opts[check[1]]
		self[name] = value or DEFAULTS[name]
		if not check[3](self[name]) then
			return nil, ("opts.%s must be %s"):format(name, check[2])
		end
	end
	for _, name in ipairs(KEPT) do
		self[name] = opts[name]
	end
	self.ssl_verify = opts.ssl_verify ~= false
	self.is_auth = self.user ~= nil and self.password ~= nil
	self.use_grpc = false
	self.init_count = integer(opts.init_count) and opts.init_count or nil
	self.serializer = serializers.find(opts.serializer)
	self.endpoints = {}
	local hosts = type(self.http_host) == "string" and { self.http_host } or self.http_host
	for i, http_host in ipairs(hosts) do
		local found, problem = endpoint(http_host)
		if not found then
			return nil, problem
		end
		self.endpoints[i] = found
	end
	self.is_cluster = #self.endpoints > 1
	if not health_check.conf then
		health_check.init()
	end
	return client.new(self)
end

return etcd
