-- The loop of luv: callers are coroutines, resumed from a poll handle. The handle keeps `uv.run` running only while
-- something is in flight.

local coroutines = require "silly.store.etcd.loops.coroutines"
local uv = package.loaded.luv or package.loaded.uv or require "luv"

local luv = { current = coroutines.current, park = coroutines.park }

luv.wake = coroutines.waker(coroutines.report)
luv.go = coroutines.starter(luv.wake)

local handle

function luv.start(core, pump)
	-- Programs clean up with uv.walk, which closes it.
	if not handle or handle:is_closing() then
		local poll = uv.new_poll(core:fd())
		poll:start("r", function()
			if pump() == 0 and not poll:is_closing() then
				poll:unref()
			end
		end)
		handle = poll
	end
	handle:ref()
end

return luv
