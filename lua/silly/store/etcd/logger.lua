-- `log` of `newclient`: calls a function with what happens to a client.
--
-- In: the native half that reads the records, the function. It is called in a coroutine of its own, by the next pump of
-- any loop, or at the end of a call that blocks. It may not wait; an error in it is told once, and changes nothing.

local read = require "silly.store.etcd.read"

-- Lua's own function: OpenResty puts others in its place, of which a coroutine is resumed by its own request only.
local function own(name)
	return rawget(coroutine, "_" .. name) or rawget(coroutine, name)
end

local create, resume, status, yield = own "create", own "resume", own "status", own "yield"
local close = rawget(coroutine, "close") ---@type (fun(co: thread))?  from Lua 5.4 on

-- How the reader of the records waits: nobody goes on for it, and whoever pumps resumes it.
---@type silly.store.etcd.own.loop
local loop = {
	quiet = true,
	current = coroutine.running,
	park = function() yield() end,
	wake = function(co) resume(co) end,
	start = function() end,
}

-- Calls the function; returns what was wrong.
local function call(log, record)
	local co = create(log)
	local ok, problem = resume(co, record.level, record.message, record)
	if not ok then
		return tostring(problem)
	elseif status(co) ~= "dead" then
		if close then
			close(co)
		end
		return "it must not wait"
	end
end

---@async
---@param native silly.store.etcd.native.reader
---@param log function
local function run(native, log)
	local owner, was_told = { loop = loop }, false
	while true do
		local record = read(owner, native)
		if not record then
			return
		end
		local problem = call(log, record)
		if problem and not was_told then
			was_told = true
			io.stderr:write("silly.store.etcd: the function 'log' has failed: ", problem, "\n")
		end
	end
end

local logger = {}

--- Calls `log` with each record, until the client is closed or collected.
---@param native silly.store.etcd.native.reader
---@param log fun(level: string, message: string, record: silly.store.etcd.record)
function logger.start(native, log)
	resume(create(run), native, log)
end

return logger
