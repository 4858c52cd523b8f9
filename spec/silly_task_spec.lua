-- silly.task and silly.run: forking, waiting, failing, and the order in which the scheduler does it all.
-- In: small programs of tasks, run inside this process. Out: the order of their steps, and what stderr got.

local silly = require "silly"
local task = require "silly.task"

-- A second scheduler, over a core that does not wait but counts, so that a test may set its pump.
local function fresh()
	local name, core = "silly.store.etcd.core", { waits = 0 }
	function core:wait()
		self.waits = self.waits + 1
	end
	local original = package.loaded[name]
	package.loaded[name], package.loaded["silly.task"] = core, nil
	local other = require "silly.task"
	package.loaded[name], package.loaded["silly.task"] = original, task
	return other, core
end

-- Run `main` and return what stderr got meanwhile, and what silly.run returned.
local function captured(main)
	local stderr, written = io.stderr, {}
	rawset(io, "stderr", { write = function(_, ...) written[#written + 1] = table.concat { ... } end })
	local ok, ended = pcall(silly.run, main)
	rawset(io, "stderr", stderr)
	assert(ok, ended)
	return table.concat(written), ended
end

describe("task.readycount and task.inspect", function()
	it("tell how many tasks are ready, and what all of them are doing", function()
		local counts, seen = {}, {}
		silly.run(function()
			local waiting = task.fork(function() task.wait() end)
			local sleeping = task.fork(function() silly.sleep(1) end)
			counts[1] = task.readycount()
			silly.sleep(0)
			counts[2] = task.readycount()
			local ready = task.fork(function() end)
			counts[3] = task.readycount()
			local all = task.inspect()
			for name, co in pairs { waiting = waiting, sleeping = sleeping, ready = ready, running = task.running() } do
				seen[name] = all[co].status
				assert.matches("^stack traceback:", all[co].traceback)
			end
			assert.matches("silly_task_spec.lua", all[waiting].traceback, 1, true)
			task.wakeup(waiting)
		end)
		assert.are.same({ 2, 0, 1 }, counts)
		assert.are.same({ waiting = "WAIT", sleeping = "SLEEP", ready = "READY", running = "RUN" }, seen)
		assert.are.equal(0, task.readycount())
		assert.are.same({}, task.inspect())
	end)
end)

describe("task.fork", function()
	it("runs the tasks later, in the order of their forks", function()
		local seen = {}
		silly.run(function()
			for i = 1, 3 do
				task.fork(function() seen[#seen + 1] = i end)
			end
			seen[#seen + 1] = "forked"
		end)
		assert.are.same({ "forked", 1, 2, 3 }, seen)
	end)

	it("puts what a task forks behind what is ready already", function()
		local seen = {}
		silly.run(function()
			task.fork(function()
				seen[#seen + 1] = "a"
				task.fork(function() seen[#seen + 1] = "forked by a" end)
			end)
			task.fork(function() seen[#seen + 1] = "b" end)
		end)
		assert.are.same({ "a", "b", "forked by a" }, seen)
	end)

	it("hands ud to the function, whatever it is", function()
		local seen = {}
		silly.run(function()
			task.fork(function(...) seen.string = { select("#", ...), ... } end, "ud")
			task.fork(function(...) seen.boolean = { select("#", ...), ... } end, false)
			task.fork(function(ud) seen.none = ud == nil end)
		end)
		assert.are.same({ string = { 1, "ud" }, boolean = { 1, false }, none = true }, seen)
	end)

	it("refuses what is not a function", function()
		assert.has_error(function() task.fork("main") end, "task.fork: function expected, got string")
	end)
end)

describe("task.wait", function()
	it("returns what task.wakeup was given", function()
		local values, seen = { "text", 42, false, { 1 }, n = 5 }, {}
		silly.run(function()
			local waiter = task.fork(function()
				for i = 1, values.n do
					seen[i] = task.wait()
				end
			end)
			for i = 1, values.n do
				silly.sleep(0)
				task.wakeup(waiter, values[i])
			end
		end)
		values.n = nil
		assert.are.same(values, seen)
		assert.are.equal(values[4], seen[4])
	end)

	it("raises an error in the main chunk", function()
		assert.has_error(function() task.wait() end)
	end)

	it("raises an error in a coroutine that the task made, and the task goes on", function()
		local ok, err, after
		silly.run(function()
			ok, err = coroutine.resume(coroutine.create(function() task.wait() end))
			silly.sleep(0)
			after = true
		end)
		assert.is_false(ok)
		assert.matches("inside a task", err, 1, true)
		assert.is_true(after)
	end)

	it("raises an error where Lua cannot yield, and the task goes on", function()
		local ok, after
		silly.run(function()
			ok = pcall(table.sort, { 1, 2, 3 }, function() task.wait() end)
			silly.sleep(0)
			after = true
		end)
		assert.is_false(ok)
		assert.is_true(after)
	end)
end)

describe("task.wakeup", function()
	it("wakes in the order of the calls, behind what is ready already", function()
		local seen = {}
		silly.run(function()
			local waiters = {}
			for i = 1, 3 do
				waiters[i] = task.fork(function() task.wait() seen[#seen + 1] = i end)
			end
			silly.sleep(0)
			task.fork(function() seen[#seen + 1] = "ready" end)
			task.wakeup(waiters[3])
			task.wakeup(waiters[1])
			task.wakeup(waiters[2])
		end)
		assert.are.same({ "ready", 3, 1, 2 }, seen)
	end)

	it("raises an error when the task is not waiting", function()
		local function refused(co, status)
			local ok, err = pcall(task.wakeup, co)
			assert.is_false(ok)
			assert.matches("not waiting (" .. status .. ")", err, 1, true)
		end
		silly.run(function()
			refused(task.running(), "RUN")
			local waiter = task.fork(function() task.wait() end)
			refused(waiter, "READY")
			local sleeper = task.fork(function() silly.sleep(0) silly.sleep(0) end)
			silly.sleep(0)
			refused(sleeper, "SLEEP")
			task.wakeup(waiter)
			refused(waiter, "READY")
			silly.sleep(0)
			refused(waiter, "ended")
			refused(coroutine.create(function() end), "ended")
		end)
	end)
end)

describe("task.running", function()
	it("is the task, in its nested coroutines too, and nil outside of tasks", function()
		assert.is_nil(task.running())
		local forked, own, nested
		silly.run(function()
			forked = task.fork(function()
				own = task.running()
				nested = coroutine.wrap(function() return task.running() end)()
			end)
		end)
		assert.are.equal("thread", type(own))
		assert.are.equal(forked, own)
		assert.are.equal(own, nested)
		assert.is_nil(task.running())
	end)
end)

describe("task.status", function()
	it("follows a task from READY to its end", function()
		local seen = {}
		silly.run(function()
			local co
			co = task.fork(function()
				seen[#seen + 1] = task.status(co)
				task.wait()
				silly.sleep(0)
			end)
			seen[#seen + 1] = task.status(co)
			silly.sleep(0)
			seen[#seen + 1] = task.status(co)
			task.wakeup(co)
			seen[#seen + 1] = task.status(co)
			silly.sleep(0)
			seen[#seen + 1] = task.status(co)
			silly.sleep(0)
			seen[#seen + 1] = task.status(co) or "ended"
		end)
		assert.are.same({ "READY", "RUN", "WAIT", "READY", "SLEEP", "ended" }, seen)
	end)

	it("is nil for what is no task", function()
		assert.is_nil(task.status(coroutine.create(function() end)))
	end)
end)

describe("task._inside", function()
	it("is the running task, and nil where it cannot be suspended", function()
		assert.is_nil(task._inside())
		silly.run(function()
			assert.are.equal(task.running(), task._inside())
			assert.is_nil(coroutine.wrap(function() return task._inside() end)())
			if coroutine.isyieldable then
				local sorted
				table.sort({ 1, 2 }, function(a, b) sorted = task._inside() or "none" return a < b end)
				assert.are.equal("none", sorted)
			end
		end)
	end)
end)

describe("a failing task", function()
	it("P7: is reported on stderr with its traceback, and the others go on", function()
		local seen = {}
		local function culprit()
			error("boom")
		end
		local written, ended = captured(function()
			task.fork(function() culprit() end)
			task.fork(function() silly.sleep(0) seen[#seen + 1] = "other" end)
			silly.sleep(0)
			seen[#seen + 1] = "main"
		end)
		assert.matches("silly_task_spec.lua:%d+: boom\nstack traceback:\n.*culprit", written)
		assert.are.same({ "main", "other" }, seen)
		assert.is_true(ended)
	end)

	it("may raise any value", function()
		local written = captured(function()
			task.fork(function() error() end)
			task.fork(function() error({}) end)
			task.fork(function() error(setmetatable({}, { __tostring = function() return "described" end })) end)
			task.fork(function() error(setmetatable({}, { __tostring = function() error("worse") end })) end)
			task.fork(function() error(setmetatable({}, { __tostring = function() return {} end })) end)
		end)
		assert.matches("^silly: [^\n]+\nstack", written)
		assert.matches("silly: table: ", written, 1, true)
		assert.matches("silly: described\nstack", written, 1, true)
		assert.matches("silly: %(error object is a table value%)\nstack.*silly: %(error object is a table value%)\n", written)
	end)

	it("ends when it yields by itself", function()
		local co, after
		local written, ended = captured(function()
			co = task.fork(function()
				coroutine.yield("WAIT")
				after = true
			end)
		end)
		assert.matches("coroutine.yield outside of a coroutine that the task made itself\nstack", written, 1, true)
		assert.is_nil(after)
		assert.is_nil(task.status(co))
		assert.is_true(ended)
	end)

	it("may use coroutines of its own", function()
		local sum = 0
		local written = captured(function()
			for n in coroutine.wrap(function() for i = 1, 4 do coroutine.yield(i) end end) do
				silly.sleep(0)
				sum = sum + n
			end
		end)
		assert.are.equal("", written)
		assert.are.equal(10, sum)
	end)

	local closes = coroutine.close and it or pending
	closes("of a run closes each task once, though a variable of one ends another", function()
		local seen, mutex = {}, require "silly.sync.mutex".new()
		local source = [[
			local sleep, close = ...
			local _ <close> = setmetatable({}, { __close = close })
			sleep(1e7)
		]]
		local stderr = io.stderr
		rawset(io, "stderr", { write = function() end })
		local ok = pcall(silly.run, function()
			local guard, child = mutex:lock "key", nil
			task.fork(function()
				load(source)(silly.sleep, function()
					assert(coroutine.close(child))
					guard:unlock()
					seen[#seen + 1] = "first"
				end)
			end)
			child = task.fork(function() mutex:lock "key" end)
			task.fork(function() load(source)(silly.sleep, function() seen[#seen + 1] = "third" end) end)
			silly.sleep(0)
			error "boom"
		end)
		rawset(io, "stderr", stderr)
		assert.is_false(ok)
		assert.are.same({ "first", "third" }, seen)
		assert.is_nil(next(task.inspect()))
	end)

	closes("closes its variables, and an error in that is reported too", function()
		local source = [[
			local closed, how, running = ...
			local function close()
				assert(running())
				closed[#closed + 1] = how
			end
			local guard <close> = setmetatable({}, { __close = close })
			local bad <close> = setmetatable({}, { __close = function() if how == "bad" then error("unclosable") end end })
			if how == "yield" then coroutine.yield() end
			error("boom")
		]]
		local closed = {}
		local written = captured(function()
			for _, how in ipairs { "error", "yield", "bad" } do
				task.fork(function() load(source)(closed, how, task.running) end)
			end
		end)
		assert.are.same({ "error", "yield", "bad" }, closed)
		assert.matches("boom.*while closing: [^\n]*unclosable", written)
	end)
end)

describe("silly.run", function()
	it("hands its arguments to main and returns true when every task has ended", function()
		local seen, last
		local ended = silly.run(function(...)
			seen = { select("#", ...), ... }
			task.fork(function() silly.sleep(0) last = true end)
		end, "a", nil, "c", nil)
		assert.are.same({ 4, "a", nil, "c" }, seen)
		assert.is_true(last)
		assert.is_true(ended)
	end)

	it("runs what was forked before it, without a main too", function()
		local seen
		task.fork(function() seen = true end)
		assert.is_nil(seen)
		assert.is_true(silly.run())
		assert.is_true(seen)
	end)

	it("raises the error of main with its traceback, and can be called again", function()
		local function culprit()
			error("boom")
		end
		local ok, err = pcall(silly.run, function() silly.sleep(0) culprit() end)
		assert.is_false(ok)
		assert.matches("silly_task_spec.lua:%d+: boom\nstack traceback:\n.*culprit", err)
		local again
		silly.run(function() again = true end)
		assert.is_true(again)
	end)

	-- A variable that notes when it is closed.
	local function noting(seen, name)
		return setmetatable({}, { __close = function() seen[#seen + 1] = name end })
	end

	it("ends the other tasks where they are after an error in main", function()
		local seen = {}
		pcall(silly.run, function()
			for i = 1, 2 do
				task.fork(function()
					local _ <close> = noting(seen, i) -- luacheck: ignore
					silly.sleep(1e6)
				end)
			end
			task.fork(function()
				task.fork(function() seen[#seen + 1] = "ran" end)
			end)
			silly.sleep(0)
			silly.sleep(0)
			error "boom"
		end)
		assert.is_true(silly.run())
		assert.are.same({ "ran", 1, 2 }, seen)
	end)

	it("closes tasks that nothing can wake, and says what fails then", function()
		local seen = {}
		local written = captured(function()
			task.fork(function()
				local _ <close> = setmetatable({}, { __close = function() error "boom" end }) -- luacheck: ignore
				task.wait()
			end)
			task.fork(function()
				local _ <close> = noting(seen, "closed") -- luacheck: ignore
				task.wait()
			end)
		end)
		assert.matches("while closing: .*boom", written)
		assert.are.same({ "closed" }, seen)
	end)

	it("counts a task that was closed as ended", function()
		local order, group = {}, require("silly.sync.waitgroup").new()
		local locks = require("silly.sync.mutex").new()
		local written, ended = captured(function()
			local guard = locks:lock "key"
			local closed = {
				group:fork(function() silly.sleep(1e6) end),
				group:fork(function() task.wait() end),
				group:fork(function() locks:lock "key" end),
			}
			task.fork(function()
				locks:lock "key"
				order[#order + 1] = "locked"
			end)
			silly.sleep(0)
			for _, co in ipairs(closed) do
				assert(coroutine.close(co))
				assert.is_nil(task.status(co))
			end
			guard:unlock()
			group:wait()
			order[#order + 1] = "waited"
		end)
		assert.are.same({ "", true }, { written, ended })
		table.sort(order)
		assert.are.same({ "locked", "waited" }, order)
	end)

	it("refuses to run inside itself", function()
		local ok, err
		silly.run(function() ok, err = pcall(silly.run, function() end) end)
		assert.is_false(ok)
		assert.matches("is running already", err, 1, true)
	end)

	it("reports tasks that nothing can wake, returns false and forgets them", function()
		local first
		local function stuck()
			task.wait()
		end
		local written, ended = captured(function()
			first = task.fork(function() stuck() end)
			task.fork(function() task.wait() end)
		end)
		assert.matches("2 tasks wait for ever.*\nstack traceback:\n.*stuck", written)
		assert.is_false(ended)
		assert.is_nil(task.status(first))
		assert.is_true(silly.run())
	end)

	it("does not let endless forking starve a timer", function()
		local due = false
		silly.run(function()
			task.fork(function() silly.sleep(1) due = true end)
			local function again()
				if not due then
					task.fork(again)
				end
			end
			again()
		end)
		assert.is_true(due)
	end)

	it("runs ten thousand tasks that wait for each other", function()
		local passed = 0
		silly.run(function()
			local previous
			for _ = 1, 10000 do
				local successor = previous
				previous = task.fork(function()
					task.wait()
					passed = passed + 1
					if successor then
						task.wakeup(successor)
					end
				end)
			end
			silly.sleep(0)
			task.wakeup(previous)
		end)
		assert.are.equal(10000, passed)
	end)
end)

describe("task._poll", function()
	it("has the run go on while operations are in flight, and wake their tasks", function()
		local other, core = fresh()
		local left, result = 3, nil
		other.run(function()
			local waiter = other.running()
			other._poll(function()
				left = left - 1
				if left == 0 then
					other.wakeup(waiter, "done")
				end
				return left
			end, function() return left > 0 end)
			result = other.wait()
		end)
		assert.are.equal("done", result)
		assert.are.equal(3, core.waits)
	end)

	it("is not starved by endless forking", function()
		local other, calls = fresh(), 0
		other._poll(function()
			calls = calls + 1
			return 0
		end, function() return false end)
		other.run(function()
			local function again()
				if calls < 10 then
					other.fork(again)
				end
			end
			again()
		end)
		assert.is_true(calls >= 10)
	end)
end)

describe("silly.pcall", function()
	it("returns the results", function()
		assert.are.same({ true, 1, nil, 3 }, { silly.pcall(function(...) return ... end, 1, nil, 3) })
	end)

	it("returns the error with a traceback", function()
		local function culprit()
			error("boom")
		end
		local ok, err = silly.pcall(function() culprit() end)
		assert.is_false(ok)
		assert.matches("silly_task_spec.lua:%d+: boom\nstack traceback:\n.*culprit", err)
	end)

	it("makes text of any error value", function()
		local ok, err = silly.pcall(error, setmetatable({}, { __tostring = function() error("worse") end }))
		assert.is_false(ok)
		assert.matches("(error object is a table value)\nstack", err, 1, true)
	end)

	it("lets the task sleep and wait inside, nested too", function()
		local ok, inner, err
		silly.run(function()
			ok, inner, err = silly.pcall(function()
				silly.sleep(0)
				return silly.pcall(function()
					silly.sleep(0)
					error("boom", 0)
				end)
			end)
		end)
		assert.is_true(ok)
		assert.is_false(inner)
		assert.matches("^boom\nstack", err)
	end)
end)
