-- The loop of lua-eco: callers are its coroutines; one more watches the core while something is in flight.

local coroutines = require "silly.store.etcd.loops.coroutines"
local eco = eco or require "eco" -- luacheck: ignore 113

local loop = { current = coroutines.current, park = coroutines.park, go = eco.run }

-- The coroutine that watches; dead once nothing is in flight.
local watcher ---@type thread?

function loop.wake(co)
	eco._resume(co)
end

function loop.start(core, pump)
	if watcher and coroutine.status(watcher) ~= "dead" then
		return
	end
	watcher = eco.run(function()
		local readable = eco.io(core:fd())
		repeat
			readable:wait(eco.READ)
		until pump() == 0
	end)
end

return loop
