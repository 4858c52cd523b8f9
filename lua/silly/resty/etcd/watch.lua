-- Watches with the interface of lua-resty-etcd: a function that returns the next chunk, and a handle that ends it.
-- In: an object of `silly.resty.etcd`, a key, options. Out: both. The watch resumes by itself, so that a chunk comes
-- exactly once whatever happens to connections; `timeout` is not the end of it.

local failure = require "silly.resty.etcd.failure"
local notes = require "silly.resty.etcd.notes"
local pool = require "silly.resty.etcd.pool"
local requests = require "silly.resty.etcd.requests"
local responses = require "silly.resty.etcd.responses"

local M = {}

---@class silly.resty.etcd.watch  what `need_cancel` returns, and `watchcancel` takes
---@field private stream silly.store.etcd.watch?
---@field private closed boolean?
local handle = {}
handle.__index = handle

--- Ends the watch.
---@return integer? done  1
---@return string? message
function handle:close()
	if self.closed then
		return nil, "closed"
	end
	self.closed = true
	if self.stream then
		self.stream:close()
	end
	return 1
end

-- What a watch that its server has ended has in its last chunk; nil where there is none.
local function last_result(header, info)
	if info.code == "compacted" then
		return {
			header = { cluster_id = header.cluster_id, member_id = header.member_id, raft_term = header.raft_term },
			canceled = true,
			compact_revision = info.compact_revision and ("%d"):format(info.compact_revision) or nil,
		}
	elseif info.code == "permission_denied" and info.server_message then
		return {
			header = header,
			created = header.revision == nil or nil,
			canceled = true,
			cancel_reason = "rpc error: code = PermissionDenied desc = " .. info.server_message,
		}
	end
end

-- The function that returns the chunks, of which `first` comes before what the stream has.
local function reader(self, watch, first, seconds, watch_id)
	local codec, header, ended = responses.watched(self.serializer), first.header, nil

	local function chunk(result)
		result.watch_id = watch_id
		return { result = result }
	end

	return function()
		if watch.closed then
			return nil, "closed"
		elseif first then
			local result = first
			first = nil
			return chunk(result)
		elseif ended or not watch.stream then
			return nil, ended or "closed"
		end
		local response, message, info = watch.stream:read(seconds)
		notes.tell()
		if response then
			local result = responses.watch(response, codec)
			header = result.header
			return chunk(result)
		elseif info.code == "timeout" then
			return nil, "timeout"
		end
		local last = last_result(header, info)
		if last then
			ended = "closed"
			return chunk(last)
		end
		ended = failure.text(self, message, info)
		return nil, ended
	end
end

--- Begins a watch; returns once the server has confirmed it.
---@async
---@param self silly.resty.etcd.client
---@param key string
---@param directory boolean
---@param opts table
---@return (async fun(): table?, string?)? read
---@return string? message
---@return silly.resty.etcd.watch?
function M.open(self, key, directory, opts)
	local client, problem = pool.client(self)
	if not client then
		return nil, problem
	end
	local seconds = self:seconds(opts)
	local request = requests.watch(self.key_prefix .. key, directory, opts)
	request.timeout = seconds
	local stream, message, info = client:watch(request)
	notes.tell()
	local first
	if stream then
		local status = stream:status()
		first = { header = { revision = ("%d"):format(status and status.revision or 0) }, created = true }
	else
		---@cast message string
		---@cast info silly.store.etcd.info
		first = last_result({}, info)
		if not first then
			return nil, failure.text(self, message, info)
		end
	end
	local watch = setmetatable({ stream = stream }, handle)
	local watch_id = opts.watch_id and tonumber(opts.watch_id) ~= 0 and tostring(opts.watch_id) or nil
	return reader(self, watch, first, seconds, watch_id), nil, opts.need_cancel == true and watch or nil
end

return M
