-- `silly.resty.etcd.health_check`, for programs that require `resty.etcd.health_check`: its functions and settings.
-- A client leaves an endpoint that fails by itself, and finds out when it is back; so the settings count only for what
-- the program itself reports, in this worker. What is asked, whether an endpoint can be reached, is told as the clients
-- of this worker have seen it last.

local bans = require "silly.resty.etcd.bans"
local notes = require "silly.resty.etcd.notes"
local pool = require "silly.resty.etcd.pool"

local ngx = rawget(_G, "ngx")

---@class silly.resty.etcd.health_check
---@field conf { shm_name: string?, fail_timeout: number, max_fails: integer, retry: boolean, disabled: boolean? }?
local health_check = {
	ROUND_ROBIN_MODE = "round-robin",
	SHARED_DICT_MODE = "shared-dict",
	DISABLED_MODE = "disabled",
}

-- host:port
local function address(http_host)
	local found = bans.bare(http_host)
	return found:find ":%d+$" and found or found .. ":2379"
end

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
	notes.checks = true
	health_check.conf = {
		shm_name = name,
		fail_timeout = opts.fail_timeout or 10,
		max_fails = opts.max_fails or 1,
		retry = opts.retry or false,
	}
	return health_check
end

--- Could the clients of this worker reach an endpoint when they tried last? No where it is banned.
---@param http_host string  such as `http://127.0.0.1:2379`
---@return boolean? reachable
---@return string? message
function health_check.get_target_status(http_host)
	if not health_check.conf then
		return nil, "etcd health check uninitialized"
	elseif type(http_host) ~= "string" then
		return false, "etcd host invalid"
	elseif health_check.conf.disabled then
		return true
	end
	return pool.reaches(address(http_host))
end

--- Has this worker use an endpoint no longer, once it was reported `max_fails` times, until it was not reported for
--- `fail_timeout` seconds. Has no effect after `disable`.
---@param http_host string
---@return nil
---@return string? message
function health_check.report_failure(http_host)
	if not health_check.conf then
		return nil, "etcd health check uninitialized"
	elseif type(http_host) ~= "string" then
		return nil, "etcd host invalid"
	end
	local conf = health_check.conf
	if not conf.disabled and bans.report(address(http_host), conf.max_fails, conf.fail_timeout) then
		notes.add(("update endpoint: %s to unhealthy"):format(http_host))
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

--- From now on all endpoints count as reachable, and reports have no effect.
function health_check.disable()
	local conf = assert(health_check.conf or assert(health_check.init()).conf)
	conf.disabled = true
	notes.checks = false
end

return health_check
