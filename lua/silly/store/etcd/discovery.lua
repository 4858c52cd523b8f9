-- The object that `client:discover` returns: who is registered under a name, read from a cache without a call.

local core = require "silly.store.etcd.core"
local failure = require "silly.store.etcd.failure"
local iterate = require "silly.store.etcd.iterate"
local object = require "silly.store.etcd.object"
local read = require "silly.store.etcd.read"

---@class silly.store.etcd.discovery
---@field client silly.store.etcd.client  keeps it from being collected, which would close it
---@field loop silly.store.etcd.loop
---@field package name string
---@field package native silly.store.etcd.native.cache
---@field package limit number?  seconds without etcd after which nobody is known any more
---@field package version number?  of the cache when the entries were read
---@field package entries silly.store.etcd.discovery.entry[]
---@field package by_key table<string, silly.store.etcd.discovery.entry>
---@field package invalid integer  values that are none of an entry
---@field package turn integer  of "roundrobin"
local discovery = {}

local mt, check = object.kind("discovery", discovery, function(self)
	local status = self.native:status()
	return ("%s, %s"):format(self.name, tostring(self.client)), status and status.state or nil
end)

-- What a key and its value say of an entry; nil where the value says nothing.
local function entry(self, kv)
	local value = core:fromjson(kv.value)
	if type(value) ~= "table" or type(value.Addr) ~= "string" then
		return nil
	end
	local metadata = value.Metadata
	if type(metadata) == "userdata" then -- JSON's null
		metadata = nil
	end
	return { id = kv.key:sub(#self.name + 2), addr = value.Addr, metadata = metadata, kv = kv }
end

-- Reads the entries anew where the cache has changed. Those that have not are the same tables as before. Returns them,
-- or none and why.
local function refresh(self)
	local version = self.native:version()
	if version == self.version and version > 0 then
		return self.entries
	end
	local view, message, info = self.native:view()
	if not view then
		self.version, self.entries, self.by_key, self.invalid = nil, {}, {}, 0
		return self.entries, message, info
	end
	local before = self.by_key
	self.version, self.entries, self.by_key, self.invalid = version, {}, {}, 0
	for kv in view.next, view do
		local known = before[kv.key]
		if not known or known.kv.mod_revision ~= kv.mod_revision or known.kv.value ~= kv.value then
			known = entry(self, kv)
		end
		if known then
			self.entries[#self.entries + 1], self.by_key[kv.key] = known, known
		else
			self.invalid = self.invalid + 1
		end
	end
	return self.entries
end

-- Those who are known now; where that cannot be told, none and why.
local function entries(self)
	if self.limit then
		local status, message, info = self.native:status()
		if not status then
			return {}, message, info
		elseif status.lag > self.limit then
			return {}
		end
	end
	return refresh(self)
end

--- Who is registered, in the order of their ids. Costs no call. The tables are shared: do not change them.
---@nodiscard
---@return silly.store.etcd.discovery.entry[] entries
function discovery:list()
	return (entries(check(self, "list")))
end

--- One of them.
---@nodiscard
---@param policy ("random"|"roundrobin"|{ key: string })?
---@return silly.store.etcd.discovery.entry? entry
---@return string? message
---@return silly.store.etcd.info? info
function discovery:pick(policy)
	local all, message, info = entries(check(self, "pick"))
	local count = #all
	if type(policy) == "table" and type(policy.key) == "string" then
		local ids = {}
		for i = 1, count do
			ids[i] = all[i].id
		end
		local chosen = core:rendezvous(policy.key, ids)
		if chosen then
			return all[chosen]
		end
	elseif policy == "roundrobin" then
		self.turn = count > 0 and self.turn % count + 1 or 0
		count = self.turn
	elseif policy == nil or policy == "random" then
		count = count > 0 and core:random(count) or 0
	else
		return failure("discovery.pick", "invalid_argument",
			"the policy must be 'random', 'roundrobin' or a table with a 'key'")
	end
	if all[count] then
		return all[count]
	elseif message then
		return nil, (message:gsub("^cache%.%w+", "discovery.pick")), info
	end
	return failure("discovery.pick", "unavailable", ("nobody is registered as '%s'"):format(self.name))
end

--- Whether the list is current, and how many values are none of an entry. Costs no call.
---@nodiscard
---@return silly.store.etcd.discovery.status? status  nil in a forked child
---@return string? message
---@return silly.store.etcd.info? info
function discovery:status()
	local status, message, info = check(self, "status").native:status()
	if not status then
		return nil, message, info
	end
	---@cast status silly.store.etcd.discovery.status
	status.entries, status.invalid = #entries(self), self.invalid
	return status
end

--- Ends it. May be called again.
function discovery:close()
	object.close(check(self, "close").native)
end

---@class silly.store.etcd.discovery.changes
---@field loop silly.store.etcd.loop
---@field package discovery silly.store.etcd.discovery  keeps it from being collected
---@field package native silly.store.etcd.native.reader
---@field package waiting silly.store.etcd.discovery.event[]  that were not read yet
local changes = {}

local changesmt, checkchanges = object.kind("discovery.changes", changes, function(self)
	return tostring(self.discovery)
end)

--- Follows who comes, changes and goes; with `initial` those who are there come first.
---@nodiscard
---@param req { initial: boolean? }?
---@return silly.store.etcd.discovery.changes? changes
---@return string? message
---@return silly.store.etcd.info? info
function discovery:changes(req)
	local native, message, info = check(self, "changes").native:changes(req)
	if not native then
		return nil, message, info
	end
	return setmetatable({ discovery = self, loop = self.loop, native = native, waiting = {} }, changesmt)
end

-- What a change of a key says of its entry; nil where nothing has changed for anybody.
local function event(self, change)
	local is = change.type == "PUT" and entry(self, change.kv)
	local was = change.prev_kv and entry(self, change.prev_kv)
	if is then
		return { type = "PUT", id = is.id, addr = is.addr, metadata = is.metadata }
	elseif was then
		return { type = "DELETE", id = was.id, addr = was.addr, metadata = was.metadata }
	end
end

---@async
local function nextchange(self, seconds)
	local deadline = seconds and core:monotonic() + (tonumber(seconds) or 0) * 1000
	while not self.waiting[1] do
		local response, message, info = read(self, self.native, seconds)
		-- Another reader may have left something meanwhile.
		if not response and not self.waiting[1] then
			return nil, message, info
		end
		for _, change in ipairs(response and response.events or {}) do
			self.waiting[#self.waiting + 1] = event(self.discovery, change)
		end
		seconds = deadline and math.max(0, (deadline - core:monotonic()) / 1000)
	end
	return table.remove(self.waiting, 1)
end

--- Waits for the next change: who has come or changed, or gone. Of one who has gone it has what was known last.
---@async
---@nodiscard
---@param seconds number?  at the most; nil, "timeout" is returned then
---@return silly.store.etcd.discovery.event? event
---@return string? message
---@return silly.store.etcd.info? info
function changes:read(seconds)
	return nextchange(checkchanges(self, "read"), seconds)
end

--- Iterates over the changes: `for event in changes:events() do`. It ends when they, or the client, are closed.
---@nodiscard
---@return async fun(): silly.store.etcd.discovery.event?
function changes:events()
	checkchanges(self, "events")
	---@async
	return iterate(function() return nextchange(self) end)
end

--- Reads no more. May be called again.
function changes:close()
	object.close(checkchanges(self, "close").native)
	self.waiting = {}
end

local M = {}

--- Wraps the native half.
---@param client silly.store.etcd.client
---@param made table  name, limit and the native half of the cache
---@return silly.store.etcd.discovery
function M.new(client, made)
	made.client, made.loop = client, client.loop
	made.entries, made.by_key, made.invalid, made.turn = {}, {}, 0, 0
	return setmetatable(made, mt)
end

return M
