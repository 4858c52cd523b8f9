-- cqueues: coroutines of a controller.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local left = false
local controller

local failures = require "spec.conformance.suite" {
	name = "cqueues",
	run = function(main)
		controller = cqueues.new()
		controller:wrap(main)
		while not left and not controller:empty() do
			assert(controller:step())
		end
	end,
	fork = function(f) controller:wrap(f) end,
	event = function()
		local changed = condition.new()
		return { wait = function() changed:wait() end, set = function() changed:signal() end }
	end,
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
