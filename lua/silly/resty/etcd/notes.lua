-- What happens to clients goes to nginx's error log, with lua-resty-etcd's words for an endpoint that fails.
-- In: the records of `silly.store.etcd`, which come while any request runs, or none. Out: warnings, written by the next
-- request that has called: a line in nginx's log belongs to the request that writes it.

local ngx = rawget(_G, "ngx")

local LIMIT = 100

local M = {
	--- Is an endpoint that fails told in the words of health checks?
	checks = true,
}

local pending = {} ---@type string[]

--- The function `log` of a client.
---@param scheme string  of its endpoints
---@return fun(level: string, message: string, record: silly.store.etcd.record)?
function M.collector(scheme)
	return ngx and function(_, message, record)
		if M.checks and record.event == "unreachable" and record.endpoint then
			M.add(("update endpoint: %s://%s to unhealthy: %s"):format(scheme, record.endpoint, message))
		else
			local about = record.endpoint or record.key or record.call
			M.add(("etcd: %s%s: %s"):format(record.event, about and " " .. about or "", message))
		end
	end or nil
end

--- Has a warning written.
---@param message string
function M.add(message)
	if ngx and #pending < LIMIT then
		pending[#pending + 1] = message
	end
end

--- Writes what has come.
function M.tell()
	if pending[1] then
		local messages = pending
		pending = {}
		for _, message in ipairs(messages) do
			ngx.log(ngx.WARN, message)
		end
	end
end

return M
