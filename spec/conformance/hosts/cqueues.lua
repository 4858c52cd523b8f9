-- cqueues: coroutines of a controller.

local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local left = false
local controller

-- Controllers share the core. Each must learn when nothing is in flight any more, whoever has taken the last answer.
local function nested(t, client)
	local inner, count = cqueues.new(), 0
	local stream = assert(client:watch { key = t.prefix })
	local function get()
		for _ = 1, 20 do
			assert(client:get { key = t.prefix })
			count = count + 1
		end
	end
	inner:wrap(get)
	inner:wrap(function()
		get()
		stream:close()
	end)
	t.together {
		function() t.fails("closed", stream:read()) end,
		function() assert(inner:loop()) end,
	}
	t.equal(40, count)
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
