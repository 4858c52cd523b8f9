-- copas, version 4 or later: its threads.

local copas = require "copas"
local _, coxpcall = pcall(require, "coxpcall")

local left = false

-- What tests do between two runs: all threads are forgotten, the one that watches the core too.
local function forgotten(t, client)
	local stream, answer = assert(client:watch { key = t.prefix }), nil
	copas.loop(function()
		copas.addthread(function() stream:read() end)
		repeat
			copas.pause()
		until copas.status().read > 0
		copas.cancelall()
	end)
	stream:close()
	copas.loop(function() answer = client:get { key = t.prefix } end)
	assert(answer)
end

-- A thread that copas will never resume again goes on reading, but takes nothing from others.
local function removed(t, client)
	local stream, seen = assert(client:watch { key = t.prefix }), {}
	local reader = copas.addthread(function()
		seen[1] = "reads"
		seen[2] = stream:read()
	end)
	repeat
		copas.pause()
	until seen[1]
	copas.removethread(reader)
	assert(client:put { key = t.prefix, value = "" })
	assert(stream:read(60))
	t.equal({ "reads" }, seen)
	stream:close()
end

local failures = require "spec.conformance.suite" {
	name = "copas",
	run = function(main)
		copas.addthread(main)
		while not left and not copas.finished() do
			copas.step()
		end
	end,
	fork = copas.addthread,
	kill = coroutine.close and function(f) -- luacheck: ignore 143
		local co = copas.addthread(f)
		copas.pause()
		copas.pause()
		assert(coroutine.close(co)) -- luacheck: ignore 143
	end or nil,
	event = function()
		local changed = copas.semaphore.new(1)
		return { wait = function() changed:take(1, 1e9) end, set = function() changed:give() end }
	end,
	pcall = type(coxpcall) == "table" and coxpcall.pcall or nil,
	cases = {
		{ name = "copas.cancelall forgets all threads", outside = true, skip = function()
			return not copas.cancelall and "this version has none"
		end, run = forgotten },
		{ name = "copas.removethread takes a reader away", run = removed },
	},
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
