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

-- Making a condition may run a finalizer, whose call hands out the results of the one that is about to wait.
local function finalized(t, client)
	local new = condition.new
	function condition.new()
		condition.new = new
		table.sort({ 1, 2, 3 }, function(a, b)
			assert(client:put { key = t.prefix, value = "" })
			return a < b
		end)
		return new()
	end
	t.equal({}, assert(client:get { key = t.prefix .. "none" }).kvs)
	t.equal(new, condition.new)
end

-- The first start of a controller's watcher fails: it is not taken for one that watches.
local function unstarted(t, client)
	local inner, wrap = cqueues.new(), nil
	inner:wrap(function()
		wrap = cqueues.interpose("wrap", function() error("no memory", 0) end)
		t.equal({ false, "no memory" }, { pcall(client.get, client, { key = t.prefix }) })
		cqueues.interpose("wrap", wrap)
		assert(client:get { key = t.prefix })
	end)
	assert(inner:loop())
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
	cases = {
		{ name = "a controller runs inside another's coroutine", run = nested },
		{ name = "a watcher that could not be started", skip = function(host)
			return not host.pcall and "this Lua cannot suspend inside of pcall"
		end, run = unstarted },
		{ name = "a finalizer calls where a caller is about to wait", run = finalized },
	},
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
