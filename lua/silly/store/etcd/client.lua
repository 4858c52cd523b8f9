-- The client object: one method per call of etcd, each written as if it blocked. Those that are a row of the table in
-- src/etcd/rpc.rs come from there; here are the others, and what more there is to `revoke`.
--
-- Every method takes a request table, which it never changes, or the one field that it needs. It returns the table of
-- the response, or nil, a message for a person and a table for programs. `more` is what else it was called with, which
-- is refused. None throws, but for a call without `self`. The types are in library/.

local await = require "silly.store.etcd.await"
local cache = require "silly.store.etcd.cache"
local core = require "silly.store.etcd.core"
local discovery = require "silly.store.etcd.discovery"
local ending = require("silly.store.etcd.loop").ending
local failure = require "silly.store.etcd.failure"
local keepalive = require "silly.store.etcd.keepalive"
local leader = require "silly.store.etcd.leader"
local lock = require "silly.store.etcd.lock"
local object = require "silly.store.etcd.object"
local observer = require "silly.store.etcd.observer"
local pcall = require("silly.store.etcd.protect").pcall
local promise = require "silly.store.etcd.promise"
local records = require "silly.store.etcd.records"
local registration = require "silly.store.etcd.registration"
local scan = require "silly.store.etcd.scan"
local services = require "silly.store.etcd.services"
local session = require "silly.store.etcd.session"
local stm = require "silly.store.etcd.stm"
local watch = require "silly.store.etcd.watch"

local getmetatable = getmetatable

---@class silly.store.etcd.client
---@field native silly.store.etcd.native.client
---@field loop silly.store.etcd.loop
---@field submit? fun(owner: table, place: integer, name: string, req: any, more: any): table?  its simple calls
---@field whole silly.store.etcd.client?  of which it is a namespace; keeps that from being collected
---@field name string  what metrics call it
---@field registrations table<silly.store.etcd.registration, true?>  those that were not closed
local client = {}

local M = {}

local mt, check = object.kind("client", client, function(self)
	return self.native:describe(), self.native:closed() and "closed" or nil
end)

local simple = {}
for place, name in ipairs(core:simple()) do
	simple[name] = place
end

for _, name in ipairs(core:calls()) do
	local place = simple[name]
	if not name:find(".", 1, true) then
		---@async
		client[name] = function(self, req, more)
			if getmetatable(self) ~= mt then
				check(self, name)
			end
			return await(self, self.native, name, req, more, place)
		end
	end
end

-- The object around what a call has made, or why it has made none.
---@generic T
---@param self silly.store.etcd.client
---@param new fun(client: silly.store.etcd.client, made: any): T
---@param made any
---@param message string?
---@param info silly.store.etcd.info?
---@return T? object
---@return string? message
---@return silly.store.etcd.info? info
local function wrap(self, new, made, message, info)
	if not made then
		return nil, message, info
	end
	return new(self, made)
end

--- Ends a lease; its keys are deleted with it and its renewal stops.
---@async
---@param req silly.store.etcd.revoke|integer|string
---@return silly.store.etcd.revoke.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:revoke(req, more)
	local native = check(self, "revoke").native
	return promise(self, await(self, native, "revoke", req, more))
end

--- Compares, then runs one of two lists of operations, all in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:txn(req, more)
	local native = check(self, "txn").native
	return await(self, native, "txn", req, more)
end

--- Creates a lease and renews it in the background, unless the request says `keepalive = false`.
---@async
---@nodiscard
---@param req silly.store.etcd.grant|integer|string
---@return silly.store.etcd.grant.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:grant(req, more)
	local native = check(self, "grant").native
	return promise(self, await(self, native, "grant", req, more))
end

--- Renews a lease once. With `keepalive = true`, or an id instead of a request, it is also renewed in the background
--- from then on; with `keepalive = false` no longer.
---@async
---@nodiscard
---@param req silly.store.etcd.keepalive.request|integer|string
---@return silly.store.etcd.keepalive? stream
---@return string? message
---@return silly.store.etcd.info? info
function client:keepalive(req, more)
	local native = check(self, "keepalive").native
	return wrap(self, keepalive.new, promise(self, await(self, native, "keepalive", req, more)))
end

--- Watches a key, or a range of keys. Returns once the server has confirmed it.
---@async
---@nodiscard
---@param req silly.store.etcd.watch.request|string
---@return silly.store.etcd.watch? stream
---@return string? message
---@return silly.store.etcd.info? info
function client:watch(req, more)
	local native = check(self, "watch").native
	local problem = ending(self.loop, true)
	if problem then
		return failure("watch", "closed", problem)
	end
	return wrap(self, watch.new, await(self, native, "watch", req, more))
end

--- Reads all keys of a range as they are at one revision, page by page.
---@async
---@nodiscard
---@param req silly.store.etcd.scan.request|string
---@return silly.store.etcd.scan? keys
---@return string? message
---@return silly.store.etcd.info? info
function client:scan(req, more)
	local native = check(self, "scan").native
	return wrap(self, scan.new, await(self, native, "scan", req, more))
end

local function decoder(req)
	return type(req) == "table" and req.decode or nil
end

--- Keeps a range of keys here, to be read without a call. Returns once it is loaded, or read from its file.
---@async
---@nodiscard
---@param req silly.store.etcd.cache.request|string
---@return silly.store.etcd.cache? copy
---@return string? message
---@return silly.store.etcd.info? info
function client:cache(req, more)
	local native = check(self, "cache").native
	-- Now, since the caller may change the table meanwhile. What raises here is refused below.
	local ok, decode = pcall(decoder, req)
	local copy, message, info = await(self, native, "cache", req, more)
	if not copy then
		return nil, message, info
	end
	return cache.new(self, copy, ok and decode or nil)
end

--- Follows who is registered under a name.
---@async
---@nodiscard
---@param req silly.store.etcd.discover|string
---@return silly.store.etcd.discovery? service
---@return string? message
---@return silly.store.etcd.info? info
function client:discover(req, more)
	local native = check(self, "discover").native
	return wrap(self, discovery.new, await(self, native, "discover", req, more))
end

--- Keeps an entry in the store until it is closed: a key under a lease, put again whenever either is lost.
---@async
---@param req silly.store.etcd.register
---@return silly.store.etcd.registration? entry
---@return string? message
---@return silly.store.etcd.info? info
function client:register(req, more)
	local native = check(self, "register").native
	return promise(self, wrap(self, registration.new, await(self, native, "register", req, more)))
end

--- A lease that several locks and candidacies share, renewed until it is closed or lost.
---@async
---@nodiscard
---@param req silly.store.etcd.session.request?
---@return silly.store.etcd.session? session
---@return string? message
---@return silly.store.etcd.info? info
function client:session(req, more)
	local native = check(self, "session").native
	return promise(self, wrap(self, session.new, await(self, native, "session", req, more)))
end

--- Waits for its turn, and holds the lock of a name until it is unlocked or lost.
---@async
---@nodiscard
---@param req silly.store.etcd.lock.request|string
---@return silly.store.etcd.lock? lock
---@return string? message
---@return silly.store.etcd.info? info
function client:lock(req, more)
	local native = check(self, "lock").native
	return promise(self, wrap(self, lock.new, await(self, native, "lock", req, more)))
end

--- Waits until it leads under a name, and does so until it resigns or loses the leadership.
---@async
---@nodiscard
---@param req silly.store.etcd.campaign|string
---@return silly.store.etcd.leader? leader
---@return string? message
---@return silly.store.etcd.info? info
function client:campaign(req, more)
	local native = check(self, "campaign").native
	return promise(self, wrap(self, leader.new, await(self, native, "campaign", req, more)))
end

--- Follows who leads under a name.
---@async
---@nodiscard
---@param req silly.store.etcd.observe|string
---@return silly.store.etcd.observer? observer
---@return string? message
---@return silly.store.etcd.info? info
function client:observe(req, more)
	local native = check(self, "observe").native
	return wrap(self, observer.new, await(self, native, "observe", req, more))
end

local function applied(req)
	return type(req) == "function" and req or req.apply
end

--- Runs a function whose reads and writes are one transaction, until nobody has changed what it has read.
---@async
---@param req silly.store.etcd.stm|fun(tx: silly.store.etcd.tx): any, any
---@return silly.store.etcd.stm.response? response
---@return string? message
---@return silly.store.etcd.info? info
function client:stm(req, more)
	local native = check(self, "stm").native
	-- As in `cache`.
	local ok, apply = pcall(applied, req)
	local transaction, tries, prefetches = native:stm(req, more)
	if not transaction then
		return nil, tries, prefetches
	end
	return stm.run(self, transaction, assert(ok and apply), tries, prefetches)
end

--- What the client counts, and what it has now: by their names numbers, or tables of them by their labels.
---@nodiscard
---@return silly.store.etcd.stats? stats
---@return string? message
---@return silly.store.etcd.info? info
function client:stats()
	return check(self, "stats").native:stats()
end

--- The same as the text that Prometheus reads.
---@nodiscard
---@return string text
function client:metrics()
	return core:metrics({ check(self, "metrics").native }, { self.name })
end

--- What is known of each server.
---@nodiscard
---@return silly.store.etcd.endpoint[]? endpoints
---@return string? message
---@return silly.store.etcd.info? info
function client:endpoints()
	return check(self, "endpoints").native:endpoints()
end

--- Replaces the servers.
---@param endpoints string[]
---@return true? done
---@return string? message
---@return silly.store.etcd.info? info
function client:setendpoints(endpoints, more)
	return check(self, "setendpoints").native:setendpoints(endpoints, more)
end

--- What happens to the client from now on, to be read.
---@nodiscard
---@return silly.store.etcd.records? records
---@return string? message
---@return silly.store.etcd.info? info
function client:records()
	return wrap(self, records.new, check(self, "records").native:records())
end

--- A client whose keys all lie under a prefix in this one's, and which shares all else with it.
---@nodiscard
---@param prefix string
---@return silly.store.etcd.client? inner
---@return string? message
---@return silly.store.etcd.info? info
function client:namespace(prefix)
	local native, message, info = check(self, "namespace").native:namespace(prefix)
	if not native then
		return nil, message, info
	end
	return M.new(native, self.loop, self)
end

--- Ends everything: calls and watches under way answer with the code `closed`, and so does every later call. Leases
--- are renewed no longer and end with their TTL. May be called again.
function client:close()
	object.close(check(self, "close").native)
	if not self.whole then
		self.registrations = {}
	end
	promise(self)
end

-- The clients that are no namespaces, by what metrics call them; and how many there were of one name.
---@type table<string, silly.store.etcd.client>
local named = setmetatable({}, { __mode = "v" })
---@type table<string, integer>
local numbers = {}

-- Is the name that of a client that lives?
local function istaken(name)
	local other = named[name]
	return other and not object.closed(other.native)
end

-- What metrics call a client: no two that live are called alike.
local function enter(self, name)
	local unique = name
	while istaken(unique) do
		numbers[name] = (numbers[name] or 1) + 1
		unique = ("%s#%d"):format(name, numbers[name])
	end
	named[unique] = self
	return unique
end

--- The text that Prometheus reads, of all clients that were not closed.
---@nodiscard
---@return string text
function M.metrics()
	local names, natives, found = {}, {}, {}
	for name, other in pairs(named) do
		if not object.closed(other.native) then
			names[#names + 1], found[name] = name, other.native
		end
	end
	table.sort(names)
	for i, name in ipairs(names) do
		natives[i] = found[name]
	end
	return core:metrics(natives, names)
end

--- Wraps the native half of a client.
---@param native silly.store.etcd.native.client
---@param loop silly.store.etcd.loop
---@param whole silly.store.etcd.client?  of which it is a namespace
---@param name string?  what the program calls it
---@return silly.store.etcd.client
function M.new(native, loop, whole, name)
	local registrations = whole and whole.registrations or {}
	---@type silly.store.etcd.client
	local self = setmetatable({ native = native, loop = loop, whole = whole, registrations = registrations }, mt)
	self.name = whole and whole.name or enter(self, name or "client")
	self.auth, self.cluster, self.maintenance = services.auth(self), services.cluster(self), services.maintenance(self)
	return self
end

return M
