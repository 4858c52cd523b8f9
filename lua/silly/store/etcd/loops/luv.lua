-- The loop of luv: callers are coroutines, resumed from a poll handle. The handle keeps `uv.run` running only while
-- something is in flight.

local coroutines = require "silly.store.etcd.loops.coroutines"
local uv = package.loaded.luv or package.loaded.uv or require "luv"

local luv = { current = coroutines.current, park = coroutines.park }

luv.wake = coroutines.waker(function(traceback)
	io.stderr:write(traceback, "\n")
end)

local handle

function luv.start(core, pump)
	if not handle then
		handle = uv.new_poll(core:fd())
		handle:start("r", function()
			if pump() == 0 then
				handle:unref()
			end
		end)
	end
	handle:ref()
end

return luv
