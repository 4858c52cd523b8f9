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

-- Further attempts to begin a watch, and the milliseconds between them.
local ATTEMPTS = 3
local PAUSE = 100

-- How etcd says why it does not let a user make a watch, or nobody in particular.
local DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
local NOBODY = "etcdserver: user name is empty"
local UNNAMED = "rpc error: code = InvalidArgument desc = " .. NOBODY

-- What a watch that its server has ended has in its last chunk; nil where there is none.
local function last_result(header, info)
	if info.code == "compacted" then
		return {
			header = { cluster_id = header.cluster_id, member_id = header.member_id, raft_term = header.raft_term },
			canceled = true,
			compact_revision = info.compact_revision and ("%d"):format(info.compact_revision) or nil,
		}
	elseif info.code == "permission_denied" and info.server_message or info.server_message == NOBODY then
		return {
			header = header,
			watch_id = "-1",
			created = header.revision == nil or nil,
			canceled = true,
			cancel_reason = info.server_message == NOBODY and UNNAMED or DENIED,
		}
	end
end

-- The header of the first chunk, which a watch of this client does not have: that of a read. Of a watch from now on the
-- revision is its own.
---@async
local function first_header(client, stream, request)
	local response = client:get {
		key = request.key ~= "" and request.key or "\0",
		serializable = true,
		keys_only = true,
		timeout = request.timeout,
	}
	local header = response and responses.header(response.header) or {}
	local status = stream:status()
	if status and (not request.revision or not header.revision) then
		header.revision = ("%d"):format(status.revision)
	end
	return header
end

-- A watch that has seen nothing and was cut off is resumed from one revision before its first, and so is told that this
-- was compacted where the first is the oldest that is left. It begins again then, as etcd lets it.
local function is_left(request, info)
	return info.code == "compacted" and request.revision ~= nil and tonumber(request.revision) == info.compact_revision
end

-- The function that returns the chunks, of which `first` comes before what the stream has. `ended` is what comes where
-- there is no stream.
local function reader(self, client, watch, request, first, ended, seconds, watch_id)
	local codec, header, seen = responses.watched(self.serializer), first.header, false

	local function chunk(result)
		result.watch_id = result.watch_id or watch_id
		return { result = result }
	end

	-- What the stream has next.
	---@async
	local function next_response()
		if watch.stream then
			return watch.stream:read(seconds)
		end
		request.retry = 1e9
		local stream, message, info = client:watch(request)
		if not stream then
			---@cast info silly.store.etcd.info
			return nil, message, info.code == "deadline_exceeded" and { code = "timeout" } or info
		elseif watch.closed then
			stream:close()
		end
		watch.stream = stream
		return stream:read(seconds)
	end

	---@async
	local function read()
		if watch.closed then
			return nil, "closed"
		elseif first then
			local result = first
			first = nil
			return chunk(result)
		elseif ended then
			return nil, ended
		end
		local response, message, info = next_response()
		while not response and not seen and is_left(request, info) do
			watch.stream = nil
			response, message, info = next_response()
		end
		notes.tell()
		if response then
			local result = responses.watch(response, codec)
			header, seen = result.header, true
			return chunk(result)
		elseif info.code == "timeout" then
			return nil, "timeout"
		elseif info.code == "failed_precondition" and not info.server_message then
			-- It is no end that this phase cannot wait.
			return nil, message
		end
		local last = last_result(header, info)
		if last then
			ended = "closed"
			return chunk(last)
		end
		ended = failure.text(self, message, info)
		return nil, ended
	end

	return read
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
	-- A connection that breaks meanwhile is no reason to fail: programs wait for seconds then.
	request.timeout, request.deadline, request.retry, request.retry_sleep = seconds, seconds, ATTEMPTS, PAUSE
	local stream, message, info = client:watch(request)
	notes.tell()
	local watch = setmetatable({ stream = stream }, handle)
	local first, ended
	if stream then
		first = { header = first_header(client, stream, request), created = true }
	else
		---@cast message string
		---@cast info silly.store.etcd.info
		first, ended = last_result({}, info), "closed"
		if not first then
			return nil, failure.text(self, message, info)
		end
	end
	local watch_id = opts.watch_id and tonumber(opts.watch_id) ~= 0 and tostring(opts.watch_id) or nil
	local read = reader(self, client, watch, request, first, ended, seconds, watch_id)
	return read, nil, opts.need_cancel == true and watch or nil
end

return M
