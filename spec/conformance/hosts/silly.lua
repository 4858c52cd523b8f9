-- The silly framework: its tasks. In place of its own client it gets this one, as a program of silly's would.

local library = assert(package.searchpath("silly.store.etcd", package.cpath)) -- luacheck: ignore 143
package.preload["silly.store.etcd"] = package.loadlib(library, "luaopen_silly_store_etcd")

local silly = require "silly"
local metrics = require "silly.metrics.c"
local task = require "silly.task"
local time = require "silly.time"

local port = require "spec.conformance.cases.port"

local failures = require "spec.conformance.suite" {
	name = "silly",
	-- The program is a task itself.
	run = function(main) main() end,
	fork = task.fork,
	kill = function(f)
		local co = task.fork(f)
		time.sleep(0)
		assert(coroutine.close(co)) -- luacheck: ignore 143
	end,
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
	cases = { port(function() return (metrics.netstat()) end, function() time.sleep(10) end) },
	leave = function() silly.exit(0) end,
}
silly.exit(failures == 0 and 0 or 1)
