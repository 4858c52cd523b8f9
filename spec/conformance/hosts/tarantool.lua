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

-- An operator cancels the fiber that watches the core.
local function cancelled(t, client)
	assert(client:get { key = t.prefix })
	for id, info in pairs(fiber.info()) do
		if info.name == "silly.store.etcd" then
			fiber.kill(id)
		end
	end
	assert(client:get { key = t.prefix })
end

local failures = require "spec.conformance.suite" {
	name = "tarantool",
	run = function(main) main() end,
	fork = fiber.create,
	kill = function(f)
		fiber.create(f):cancel()
		fiber.yield()
	end,
	event = function()
		local changed = fiber.cond()
		return { wait = function() changed:wait() end, set = function() changed:signal() end }
	end,
	nested = true,
	anywhere = true,
	inside = true,
	cases = {
		{ name = "a finalizer calls where a caller is about to wait", run = finalized },
		{ name = "the loop's own fiber is cancelled", run = cancelled },
	},
	leave = function() os.exit(0) end,
}
os.exit(failures == 0 and 0 or 1)
