-- OpenResty: light threads of a timer in a worker. Ends nginx as a whole.

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"

local ngx = ngx -- luacheck: ignore 113

ffi.cdef "int getppid(void); int kill(int pid, int signal);"
local TERM = 15

local function leave()
	ffi.C.kill(ffi.C.getppid(), TERM)
end

return function()
	local ok, failures = pcall(require "spec.conformance.suite", {
		name = "openresty",
		run = function(main) main() end,
		fork = ngx.thread.spawn,
		event = function()
			local changed = semaphore.new()
			return { wait = function() changed:wait(1e6) end, set = function() changed:post(1) end }
		end,
		nested = true,
		refuses = true,
		inside = true,
		leave = leave,
	})
	if not ok or failures > 0 then
		leave()
		error(failures)
	end
end
