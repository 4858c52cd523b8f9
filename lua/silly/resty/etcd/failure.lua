-- What lua-resty-etcd returns where a call fails. In: the message and the info of `silly.store.etcd`. Out: a response
-- with the status and the body of etcd's HTTP gateway, where the server has refused the call; else nil, the text of
-- lua-resty-etcd, and the info, which has more.

local M = {}

-- code -> gRPC's number for it, the gateway's status
local STATUS = {
	cancelled = { 1, 408 }, unknown = { 2, 500 }, invalid_argument = { 3, 400 }, deadline_exceeded = { 4, 504 },
	not_found = { 5, 404 }, already_exists = { 6, 409 }, permission_denied = { 7, 403 },
	resource_exhausted = { 8, 429 }, failed_precondition = { 9, 400 }, aborted = { 10, 409 },
	out_of_range = { 11, 400 }, compacted = { 11, 400 }, unimplemented = { 12, 501 }, internal = { 13, 500 },
	unavailable = { 14, 503 }, data_loss = { 15, 500 }, unauthenticated = { 16, 401 },
}

local REASONS = {
	[400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
	[408] = "Request Timeout", [409] = "Conflict", [429] = "Too Many Requests",
}

M.UNREACHABLE = "has no healthy etcd endpoint available"
M.LOGIN = "authenticate refresh token fail"

-- What was asked last, as the program wrote it.
local function http_host(self, info)
	for _, endpoint in ipairs(self.endpoints) do
		if endpoint.host .. ":" .. endpoint.port == info.endpoint then
			return endpoint.http_host
		end
	end
	return tostring(info.endpoint or self.endpoints[1].http_host)
end

-- Without a server's response.
local function local_text(self, message, info)
	local code = info.code
	if code == "closed" then
		return "closed"
	elseif code == "deadline_exceeded" then
		return http_host(self, info) .. ": timeout"
	elseif code == "unavailable" and info.applied == "maybe" then
		return http_host(self, info) .. ": closed"
	elseif code == "unavailable" then
		return M.UNREACHABLE
	elseif info.causes and info.endpoint then
		return http_host(self, info) .. ": " .. (info.causes[info.endpoint] or message)
	end
	return message
end

--- What a method returns.
---@param self silly.resty.etcd.client
---@param message string
---@param info silly.store.etcd.info
---@return silly.resty.etcd.response?
---@return string? text
---@return silly.store.etcd.info? info
function M.result(self, message, info)
	local said = info.server_message or info.field and message
	local status = STATUS[info.code]
	if not said or not status then
		return nil, local_text(self, message, info), info
	elseif self.is_auth and said:find("authentication failed", 1, true) then
		return nil, M.LOGIN, info
	elseif status[2] >= 500 then
		return nil, ("invalid response code: %d, %s"):format(status[2], said), info
	end
	return {
		status = status[2],
		reason = REASONS[status[2]],
		headers = {},
		body = { error = said, message = said, code = status[1] },
	}
end

--- Why a watch cannot begin, or has ended.
---@param self silly.resty.etcd.client
---@param message string
---@param info silly.store.etcd.info
---@return string text
function M.text(self, message, info)
	local response, text = M.result(self, message, info)
	return response and "failed to watch data, response code: " .. response.status or text or message
end

return M
