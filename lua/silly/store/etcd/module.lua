-- `silly.store.etcd`, the etcd v3 client: the public module.
--
-- Everything below it is reached through a client; see `silly.store.etcd.client`.

local client = require "silly.store.etcd.client"
local core = require "silly.store.etcd.core"
local logger = require "silly.store.etcd.logger"
local loop = require "silly.store.etcd.loop"
local protect = require "silly.store.etcd.protect"

---@class silly.store.etcd
local etcd = { _VERSION = core:version() }

--- Makes a client. Opens nothing and returns at once; throws when the configuration is no good.
---@nodiscard
---@param conf silly.store.etcd.conf
---@return silly.store.etcd.client
function etcd.newclient(conf)
	local native, message = core:newclient(conf)
	if not native then
		error(conf == etcd and "newclient: call it as etcd.newclient(...)" or message, 2)
	end
	local chosen, problem = loop.find(conf.loop)
	if not chosen then
		error("newclient: field 'loop' " .. problem, 2)
	end
	local log = conf.log
	if type(log) == "function" then
		logger.start(assert(native:records()), log)
	elseif log ~= nil then
		error("newclient: field 'log' must be a function, got a " .. type(log), 2)
	end
	return client.new(native, chosen, nil, conf.name)
end

--- What all clients of this lua_State count that were not closed, as the text that Prometheus reads.
---@nodiscard
---@return string text
function etcd.metrics()
	return client.metrics()
end

--- A configuration from the variables of etcdctl; without any, that of an etcd on this machine.
---@nodiscard
---@return silly.store.etcd.conf
function etcd.fromenv()
	local function variable(name)
		local value = os.getenv("ETCDCTL_" .. name)
		return value ~= "" and value or nil
	end
	local conf = { endpoints = {} }
	local domain, cluster = variable "DISCOVERY_SRV", variable "DISCOVERY_SRV_NAME"
	local service = domain and "srv://" .. domain .. (cluster and "/" .. cluster or "")
	for endpoint in (service or variable "ENDPOINTS" or "127.0.0.1:2379"):gmatch "[^,%s]+" do
		conf.endpoints[#conf.endpoints + 1] = endpoint
	end
	conf.user, conf.password = variable "USER", variable "PASSWORD"
	local user, password = (conf.user or ""):match "^([^:]*):(.*)$"
	if user and not conf.password then
		conf.user, conf.password = user, password
	end
	-- What Go takes for true.
	local truth = { ["1"] = true, t = true, T = true, ["true"] = true, TRUE = true, True = true }
	local skip = truth[variable "INSECURE_SKIP_TLS_VERIFY"]
	local tls = { ca = variable "CACERT", cert = variable "CERT", key = variable "KEY", insecure_skip_verify = skip }
	conf.tls = next(tls) and tls or nil
	return conf
end

--- Chooses the loop of the clients that are made from now on in this lua_State: a name or a loop of one's own.
--- Without it that is the one of the host, found by itself at the first client.
---@param name silly.store.etcd.loop|string
function etcd.use(name)
	local problem = loop.use(name)
	if problem then
		error(name == etcd and "use: call it as etcd.use(...)" or "use: the loop " .. problem, 2)
	end
end

--- Runs `f` in a coroutine of the host, in which calls suspend only that. It ends by itself; an error in it is reported
--- as the host reports it.
---@param f async fun(...)
---@param ... any arguments for `f`
function etcd.go(f, ...)
	if type(f) ~= "function" then
		local kind = f == nil and "nil" or "a " .. type(f)
		error(f == etcd and "go: call it as etcd.go(...)" or "go: the first argument must be a function, got " .. kind, 2)
	end
	local chosen, problem = loop.find()
	if not chosen then
		error("go: the loop " .. problem, 2)
	elseif not chosen.go then
		error("go: the loop lacks the function 'go'", 2)
	end
	chosen.go(f, ...)
end

--- Lua's pcall; on Lua 5.1 one in which a caller can be suspended.
---@type fun(f: function, ...: any): boolean, ...
etcd.pcall = protect.pcall

-- `etcd:pcall(f)` is pcall(etcd, f).
return setmetatable(etcd, {
	__call = function()
		error("the module is no function: call it as etcd.newclient(...), or as etcd.pcall(f, ...)", 2)
	end,
})
