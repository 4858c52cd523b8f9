-- The standalone `silly` runtime of this repository.

local silly = require "silly"
local task = require "silly.task"
local time = require "silly.time"

local failures = require "spec.conformance.suite" {
	name = "standalone",
	run = silly.run,
	fork = task.fork,
	kill = coroutine.close and function(f) -- luacheck: ignore 143
		local co = task.fork(f)
		time.sleep(0)
		assert(coroutine.close(co)) -- luacheck: ignore 143
	end or nil,
	event = function()
		local waiting
		return {
			wait = function()
				waiting = task.running()
				task.wait()
			end,
			set = function()
				if waiting and task.status(waiting) == "WAIT" then
					task.wakeup(waiting)
				end
			end,
		}
	end,
	nested = true,
	pcall = silly.pcall,
	leave = function() silly.exit(0) end,
}
os.exit(failures == 0 and 0 or 1, true)
