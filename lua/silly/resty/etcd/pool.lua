-- The clients of `silly.store.etcd` that stand behind the objects of this module: those of equal configuration share
-- one, since programs make an object for each request. In: an object of `silly.resty.etcd.new`. Out: its client.
--
-- A client belongs to the process that made it: after nginx has forked, each worker makes its own. The LIMIT that were
-- taken last stay open; another is closed by the collector, once no object and no watch is left that uses it.

local bans = require "silly.resty.etcd.bans"
local failure = require "silly.resty.etcd.failure"
local notes = require "silly.resty.etcd.notes"
local etcd = require "silly.store.etcd"

local ngx = rawget(_G, "ngx")

local LIMIT = 16

-- Of requests, in bytes: the server has one.
local NO_LIMIT = 2147483647

local M = {}

-- Those that are still used, by what their configuration means; and those that stay, the last one first.
local clients = setmetatable({}, { __mode = "v" }) ---@type table<string, silly.store.etcd.client>
local kept = {} ---@type silly.store.etcd.client[]
local owner ---@type integer?
-- client -> all its endpoints, and which of them it uses where some are banned
---@type table<silly.store.etcd.client, { all: string[], used: string? }>
local servers = setmetatable({}, { __mode = "k" })

-- What the client itself says in a header, or gRPC does.
local RESERVED = { authorization = true }
for name in ("token hasleader content-type te user-agent client-api-version connection keep-alive proxy-connection "
	.. "transfer-encoding upgrade host content-length"):gmatch "%S+" do
	RESERVED[name] = true
end

local function process()
	return ngx and ngx.worker.pid()
end

-- Is there such a file? A socket cannot be opened as one, and the system has another number for that.
local function exists(path)
	local file, _, number = io.open(path)
	if file then
		file:close()
	end
	return file ~= nil or number ~= 2
end

-- The addresses, and whether they are encrypted. The client begins with a random one, or that of `init_count`.
local function addresses(self)
	local path = self.unix_socket_proxy and self.unix_socket_proxy:gsub("^unix:", "")
	if path and exists(path) then
		return { "unix://" .. path }, false
	end
	local list = {}
	for i, endpoint in ipairs(self.endpoints) do
		list[i] = ("%s://%s:%s"):format(endpoint.scheme, endpoint.host, endpoint.port)
	end
	return list, list[1] and self.endpoints[1].scheme == "https"
end

local function headers(self)
	local chosen = {}
	for name, value in pairs(type(self.extra_headers) == "table" and self.extra_headers or {}) do
		local lower = tostring(name):lower()
		if not RESERVED[lower] and not lower:find "^grpc%-" then
			chosen[lower] = tostring(value)
		end
	end
	return next(chosen) and chosen or nil
end

---@return silly.store.etcd.conf
local function configuration(self)
	local list, encrypted = addresses(self)
	return {
		endpoints = list,
		user = self.is_auth and self.user or nil,
		password = self.is_auth and self.password or nil,
		headers = headers(self),
		tls = encrypted and {
			ca = self.trusted_ca,
			cert = self.ssl_cert_path or self.ssl_cert,
			key = self.ssl_key_path or self.ssl_key,
			servername = self.sni,
			insecure_skip_verify = not self.ssl_verify,
		} or nil,
		retry = 0,
		max_request = NO_LIMIT,
	}
end

-- A text that equal configurations have in common, and others have not. It has their passwords, and goes nowhere.
local function meaning(value)
	if type(value) ~= "table" then
		return ("%q"):format(tostring(value))
	end
	local parts = {}
	for name, field in pairs(value) do
		parts[#parts + 1] = meaning(name) .. "=" .. meaning(field)
	end
	table.sort(parts)
	return "{" .. table.concat(parts, ",") .. "}"
end

local function drop(client)
	for i = #kept, 1, -1 do
		if kept[i] == client then
			table.remove(kept, i)
		end
	end
end

local function keep(client)
	drop(client)
	table.insert(kept, 1, client)
	kept[LIMIT + 1] = nil
end

-- Has a new client begin with this endpoint: what there is stays in front of what is added.
local function move_to_front(client, all, first)
	assert(client:setendpoints { all[first] })
	assert(client:setendpoints(all))
end

local function find(self)
	local conf = configuration(self)
	local all, key = conf.endpoints, meaning(conf)
	local client = clients[key] ---@type silly.store.etcd.client?
	if not client then
		conf.log = notes.collector(conf.tls and "https" or "http")
		local made, result = pcall(etcd.newclient, conf)
		if not made then
			return nil, tostring(result)
		end
		client = result
		if self.init_count then
			-- As lua-resty-etcd counts: -1 stands for the first.
			move_to_front(client, all, (self.init_count + 1) % #all + 1)
		end
		clients[key], servers[client] = client, { all = all }
	end
	keep(client)
	return client
end

-- The client, once it leaves the endpoints that are banned and uses those again that are not; none where all are.
local function unbanned(client)
	local list, left = servers[client], {}
	for _, url in ipairs(list.all) do
		if not bans.is_banned(bans.bare(url)) then
			left[#left + 1] = url
		end
	end
	if not left[1] then
		return nil, failure.UNREACHABLE
	end
	local used = #left < #list.all and table.concat(left, " ") or nil
	if used ~= list.used then
		client:setendpoints(left)
		list.used = used
	end
	return client
end

--- The client of an object.
---@param self silly.resty.etcd.client
---@return silly.store.etcd.client?
---@return string? message
function M.client(self)
	local pid = process()
	if pid ~= owner then
		clients, kept, owner = setmetatable({}, { __mode = "v" }), {}, pid
	end
	if self.closed then
		return nil, "closed"
	elseif not self.client or self.process ~= pid then
		local client, message = find(self)
		if not client then
			return nil, message
		end
		self.client, self.process = client, pid
	end
	if bans.are_there() or servers[self.client].used then
		return unbanned(self.client)
	end
	return self.client
end

--- Lets an object's client go.
---@param self silly.resty.etcd.client
function M.close(self)
	drop(self.client)
	self.client, self.closed = nil, true
end

--- Is an endpoint not banned, and could each client of this process reach it when it tried last?
---@param address string  host:port
---@return boolean
function M.reaches(address)
	if bans.is_banned(address) then
		return false
	end
	for _, client in pairs(owner == process() and clients or {}) do
		for _, endpoint in ipairs(client:endpoints() or {}) do
			if bans.bare(endpoint.endpoint) == address and endpoint.failures > 0 then
				return false
			end
		end
	end
	return true
end

return M
