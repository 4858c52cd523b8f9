-- cqueues: coroutines of a controller.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local left = false
local controller

-- Clients share the core, and each controller must learn when nothing is in flight any more.
local function nested(t, client)
	local inner, count = cqueues.new(), 0
	local function get(times)
		return function()
			for _ = 1, times do
				assert(client:get { key = t.prefix })
				count = count + 1
			end
		end
	end
	local outer = {}
	for times = 1, 5 do
		inner:wrap(get(times))
		outer[times] = get(times)
	end
	outer[6] = function() assert(inner:loop()) end
	t.together(outer)
	t.equal(30, count)
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
