-- lua-eco: its coroutines.

local eco = require "eco"

local failures = require "spec.conformance.suite" {
	name = "eco",
	run = function(main) main() end,
	fork = eco.run,
	kill = function(f) assert(coroutine.close(eco.run(f))) end, -- luacheck: ignore 143
	event = function()
		local waiting
		return {
			wait = function()
				waiting = coroutine.running()
				coroutine.yield()
			end,
			set = function()
				if waiting then
					eco._resume(waiting)
				end
			end,
		}
	end,
	inside = true,
	leave = function() os.exit(0) end,
}
os.exit(failures == 0 and 0 or 1)
