-- cqueues: coroutines of a controller.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local left = false
local controller

-- Clients share the core, and each controller must learn when nothing is in flight any more.
local function nested(t, client)
	local inner, outer, count = cqueues.new(), cqueues.running(), 0
	local function get(times)
		return function()
			for _ = 1, times do
				assert(client:get { key = t.prefix })
				count = count + 1
			end
		end
	end
	for times = 1, 5 do
		inner:wrap(get(times))
		outer:wrap(get(times))
	end
	assert(inner:loop())
	assert(count >= 15)
end

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
	cases = { { name = "a controller runs inside another's coroutine", run = nested } },
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
