-- Endpoints that a program has reported as failed, see silly.resty.etcd.health_check: no object of this process uses
-- them for a while. In: `host:port`. Out: whether such an address may be used.

local ngx = rawget(_G, "ngx")
local now = ngx and ngx.now or os.time

local M = {}

-- address -> how often it was reported, when that is forgotten, and whether it is banned until then.
local reports = {} ---@type table<string, { count: integer, over: number, banned: boolean? }>

--- What may have a scheme without it.
---@param url string
---@return string address
function M.bare(url)
	return (url:gsub("^%a+://", ""))
end

--- Notes a report.
---@param address string
---@param max_fails integer  so many reports are a ban
---@param fail_timeout number  seconds after which a report is forgotten
---@return boolean banned  from now on
function M.report(address, max_fails, fail_timeout)
	local before = M.is_banned(address)
	local report = reports[address] or { count = 0 }
	report.count, report.over = report.count + 1, now() + fail_timeout
	report.banned = report.count >= max_fails
	reports[address] = report
	return report.banned and not before
end

--- May it not be used?
---@param address string
---@return boolean
function M.is_banned(address)
	local report = reports[address]
	if report and report.over <= now() then
		reports[address] = nil
		return false
	end
	return report ~= nil and report.banned == true
end

--- Was any endpoint reported that is not forgotten? Also one that no object has.
---@return boolean
function M.are_there()
	for address in pairs(reports) do
		M.is_banned(address)
	end
	return next(reports) ~= nil
end

return M
