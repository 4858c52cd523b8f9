-- A loop of a user's own: coroutines in a queue, and the client's core to wait with.

local etcd = require "silly.store.etcd"

local ready, left, core, pump = {}, false, nil, function() return 0 end

local function resume(co)
	ready[#ready + 1] = co
end

local function fork(f, ...)
	local count, arguments = select("#", ...), { ... }
	resume(coroutine.create(function() f((table.unpack or unpack)(arguments, 1, count)) end)) -- luacheck: ignore 113 143
end

etcd.use {
	current = function()
		local co, main = coroutine.running()
		return not main and (not coroutine.isyieldable or coroutine.isyieldable()) and co or nil -- luacheck: ignore 143
	end,
	park = function(waiter)
		coroutine.yield()
		return not waiter.done and "somebody else has resumed the caller" or nil
	end,
	wake = resume,
	go = fork,
	start = function(c, p) core, pump = c, p end,
}

local function run(main)
	fork(main)
	while not left do
		local inflight = pump()
		if ready[1] then
			assert(coroutine.resume(table.remove(ready, 1)))
		elseif inflight > 0 then
			core:wait()
		else
			return
		end
	end
end

local failures = require "spec.conformance.suite" {
	name = "own",
	run = run,
	fork = fork,
	kill = coroutine.close and function(f) -- luacheck: ignore 143
		local co = coroutine.create(f)
		assert(coroutine.resume(co))
		assert(coroutine.close(co)) -- luacheck: ignore 143
	end or nil,
	event = function()
		local waiting
		return {
			wait = function()
				waiting = coroutine.running()
				coroutine.yield()
			end,
			set = function() resume(waiting) end,
		}
	end,
	careless = not coroutine.isyieldable, -- luacheck: ignore 143
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
