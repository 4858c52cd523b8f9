-- What a call costs on a host: the programs of spec/conformance/hosts/ run this in place of the suite.
--
-- In: what the cases work with (see spec/conformance/suite.lua). Out: a line `CALLERS WALL CPU` for one caller, and
-- one for many where calls do not block; both times are microseconds per call, CPU is that of the whole process.

local MANY, CALLS = 64, 3200

-- Shares the calls between the callers, and returns when all have been answered.
local function load(t, client, callers)
	local function caller()
		for _ = 1, CALLS / callers do
			assert(client:get { key = "bench/one" })
		end
	end
	if callers == 1 then
		return caller()
	end
	local all = {}
	for i = 1, callers do
		all[i] = caller
	end
	t.together(all)
end

---@param t table  what the suite's cases work with
---@return integer failures
return function(t)
	local host, client = t.host, t.client()
	local core = require "silly.store.etcd.core"
	local ended = false
	host.run(function()
		for _, callers in ipairs { 1, host.fork and MANY } do
			load(t, client, callers) -- warms up
			local wall, cpu = core:monotonic(), os.clock()
			load(t, client, callers)
			wall, cpu = (core:monotonic() - wall) * 1e3, (os.clock() - cpu) * 1e6
			host.print(("%d %.2f %.2f"):format(callers, wall / CALLS, cpu / CALLS))
		end
		client:close()
		ended = true
	end)
	if ended and host.leave then
		host.run(host.leave)
	end
	return ended and 0 or 1
end
