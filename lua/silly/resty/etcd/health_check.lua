-- `silly.resty.etcd.health_check`, for programs that require `resty.etcd.health_check`: its functions and settings.
-- The settings change nothing: a client leaves an endpoint that fails by itself, and finds out when it is back. What is
-- asked, whether an endpoint can be reached, is told as the clients of this worker have seen it last.

local pool = require "silly.resty.etcd.pool"

local ngx = rawget(_G, "ngx")

---@class silly.resty.etcd.health_check
---@field conf { shm_name: string?, fail_timeout: number, max_fails: integer, retry: boolean, disabled: boolean? }?
local health_check = {
	ROUND_ROBIN_MODE = "round-robin",
	SHARED_DICT_MODE = "shared-dict",
	DISABLED_MODE = "disabled",
}

--- Takes settings; the first time, or where `shm_name` is another one.
---@param opts { shm_name: string?, fail_timeout: number?, max_fails: integer?, retry: boolean? }?
---@return silly.resty.etcd.health_check?
---@return string? message
function health_check.init(opts)
	opts = opts or {}
	local conf, name = health_check.conf, opts.shm_name
	if conf and conf.shm_name == name then
		return health_check
	elseif name and not (ngx and ngx.shared[name]) then
		return nil, "failed to get ngx.shared dict: " .. name
	end
	health_check.conf = {
		shm_name = name,
		fail_timeout = opts.fail_timeout or 10,
		max_fails = opts.max_fails or 1,
		retry = opts.retry or false,
	}
	return health_check
end

--- Could the clients of this worker reach an endpoint when they tried last?
---@param http_host string  such as `http://127.0.0.1:2379`
---@return boolean? reachable
---@return string? message
function health_check.get_target_status(http_host)
	if not health_check.conf then
		return nil, "etcd health check uninitialized"
	elseif type(http_host) ~= "string" then
		return false, "etcd host invalid"
	end
	return pool.reaches((http_host:gsub("^%a+://", "")))
end

--- Has no effect: the clients know by themselves.
---@param http_host string
---@return nil
---@return string? message
function health_check.report_failure(http_host)
	if not health_check.conf then
		return nil, "etcd health check uninitialized"
	elseif type(http_host) ~= "string" then
		return nil, "etcd host invalid"
	end
end

---@return string mode
function health_check.get_check_mode()
	local conf = health_check.conf
	if conf and conf.disabled then
		return health_check.DISABLED_MODE
	end
	return conf and conf.shm_name and health_check.SHARED_DICT_MODE or health_check.ROUND_ROBIN_MODE
end

--- Has no effect but on `get_check_mode`.
function health_check.disable()
	health_check.conf = health_check.conf or { fail_timeout = 10, max_fails = 1, retry = false }
	health_check.conf.disabled = true
end

return health_check
