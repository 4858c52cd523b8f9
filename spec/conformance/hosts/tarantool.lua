-- Tarantool, as a plain interpreter of Lua: its fibers.

local fiber = require "fiber"

local failures = require "spec.conformance.suite" {
	name = "tarantool",
	run = function(main) main() end,
	fork = fiber.create,
	event = function()
		local changed = fiber.cond()
		return { wait = function() changed:wait() end, set = function() changed:signal() end }
	end,
	nested = true,
	inside = true,
	leave = function() os.exit(0) end,
}
os.exit(failures == 0 and 0 or 1)
