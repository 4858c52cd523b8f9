-- What a call costs on a host: the programs of spec/conformance/hosts/ run this in place of the suite.
--
-- In: a host (see spec/conformance/suite.lua) and $ETCD_ENDPOINTS. Out: a line `CALLERS WALL CPU` for one caller, and
-- one for many where calls do not block; both times are microseconds per call, CPU is that of the whole process.

local MANY, CALLS = 64, 3200

-- Shares the calls between the callers, and returns when all have been answered.
local function load(host, client, callers)
	local function caller()
		for _ = 1, CALLS / callers do
			assert(client:get { key = "bench/one" })
		end
	end
	if callers == 1 then
		return caller()
	end
	local event, left = host.event(), callers
	for _ = 1, callers do
		host.fork(function()
			caller()
			left = left - 1
			if left == 0 then
				event.set()
			end
		end)
	end
	while left > 0 do
		event.wait()
	end
end

---@param host table
---@return integer failures
return function(host)
	local print = host.print or function(line) io.stdout:write(line, "\n") io.stdout:flush() end
	local etcd = require "silly.store.etcd"
	local core = require "silly.store.etcd.core"
	local client = etcd.newclient {
		endpoints = { host.endpoint or assert(os.getenv "ETCD_ENDPOINTS", "ETCD_ENDPOINTS is not set") },
	}
	local ended = false
	host.run(function()
		for _, callers in ipairs { 1, host.fork and MANY } do
			load(host, client, callers) -- warms up
			local wall, cpu = core:monotonic(), os.clock()
			load(host, client, callers)
			wall, cpu = (core:monotonic() - wall) * 1e3, (os.clock() - cpu) * 1e6
			print(("%d %.2f %.2f"):format(callers, wall / CALLS, cpu / CALLS))
		end
		client:close()
		ended = true
	end)
	if ended and host.leave then
		host.run(host.leave)
	end
	return ended and 0 or 1
end
