-- luv: coroutines resumed from the callbacks of libuv.

local uv = require "luv"

local function fork(f)
	coroutine.wrap(f)()
end

local failures = require "spec.conformance.suite" {
	name = "luv",
	run = function(main)
		fork(main)
		uv.run()
	end,
	fork = fork,
	event = function()
		local waiting
		return {
			wait = function()
				waiting = coroutine.running()
				coroutine.yield()
			end,
			set = function()
				if waiting then
					assert(coroutine.resume(waiting))
				end
			end,
		}
	end,
	leave = function()
		uv.stop()
		coroutine.yield()
	end,
}
os.exit(failures == 0 and 0 or 1, true)
