-- Tarantool, as a plain interpreter of Lua: its fibers.

local fiber = require "fiber"

-- Making a condition may run a finalizer, whose call lets others hand out the results of the one about to wait.
local function finalized(t, client)
	local cond = fiber.cond
	function fiber.cond()
		fiber.cond = cond
		for _ = 1, 3 do
			assert(client:put { key = t.prefix, value = "" })
		end
		return cond()
	end
	t.equal({}, assert(client:get { key = t.prefix .. "none" }).kvs)
	t.equal(cond, fiber.cond)
end

local failures = require "spec.conformance.suite" {
	name = "tarantool",
	run = function(main) main() end,
	fork = fiber.create,
	event = function()
		local changed = fiber.cond()
		return { wait = function() changed:wait() end, set = function() changed:signal() end }
	end,
	nested = true,
	anywhere = true,
	inside = true,
	cases = { { name = "a finalizer calls where a caller is about to wait", run = finalized } },
	leave = function() os.exit(0) end,
}
os.exit(failures == 0 and 0 or 1)
