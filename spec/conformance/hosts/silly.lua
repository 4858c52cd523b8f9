-- The silly framework: its tasks. In place of its own client it gets this one, as a program of silly's would.

local library = assert(package.searchpath("silly.store.etcd", package.cpath)) -- luacheck: ignore 143
package.preload["silly.store.etcd"] = package.loadlib(library, "luaopen_silly_store_etcd")

local silly = require "silly"
local task = require "silly.task"

-- A new port takes the place of the loop's, whose connection breaks while a read waits.
local function broken(t, client)
	local stream = assert(client:watch { key = t.prefix })
	t.together {
		function() t.fails("timeout", stream:read(0.2)) end,
		function() assert(require("silly.store.etcd.core"):port()) end,
	}
	stream:close()
end

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
	cases = { { name = "the loop's connection breaks", run = broken } },
	leave = function() silly.exit(0) end,
}
silly.exit(failures == 0 and 0 or 1)
