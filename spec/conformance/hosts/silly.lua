-- The silly framework: its tasks. In place of its own client it gets this one, as a program of silly's would.

local library = assert(package.searchpath("silly.store.etcd", package.cpath)) -- luacheck: ignore 143
package.preload["silly.store.etcd"] = package.loadlib(library, "luaopen_silly_store_etcd")

local silly = require "silly"
local task = require "silly.task"

local failures = require "spec.conformance.suite" {
	name = "silly",
	-- The program is a task itself.
	run = function(main) main() end,
	fork = task.fork,
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
	inside = true,
	cases = { (require "spec.conformance.cases.port") },
	leave = function() silly.exit(0) end,
}
silly.exit(failures == 0 and 0 or 1)
