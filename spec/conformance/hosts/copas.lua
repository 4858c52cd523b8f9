-- copas, version 4 or later: its threads.

local copas = require "copas"
local _, coxpcall = pcall(require, "coxpcall")

local left = false

local failures = require "spec.conformance.suite" {
	name = "copas",
	run = function(main)
		copas.addthread(main)
		while not left and not copas.finished() do
			copas.step()
		end
	end,
	fork = copas.addthread,
	event = function()
		local changed = copas.semaphore.new(1)
		return { wait = function() changed:take(1, 1e9) end, set = function() changed:give() end }
	end,
	pcall = type(coxpcall) == "table" and coxpcall.pcall or nil,
	leave = function() left = true end,
}
os.exit(failures == 0 and 0 or 1, true)
