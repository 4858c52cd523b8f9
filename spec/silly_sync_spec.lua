-- silly.sync.waitgroup, silly.sync.mutex and silly.sync.channel.
-- In: tasks that meet at them. Out: the order in which they went on, and what they were handed.

local silly = require "silly"
local task = require "silly.task"
local waitgroup = require "silly.sync.waitgroup"
local mutex = require "silly.sync.mutex"
local channel = require "silly.sync.channel"

-- Run `main`; every task must come to its end, and nothing may be reported unless `reports` matches it.
local function run(main, reports)
	local stderr, written = io.stderr, {}
	rawset(io, "stderr", { write = function(_, ...) written[#written + 1] = table.concat { ... } end })
	local ok, ended = pcall(silly.run, main)
	rawset(io, "stderr", stderr)
	assert(ok, ended)
	assert.matches(reports or "^$", table.concat(written))
	assert.is_true(ended)
end

describe("a wait group", function()
	it("waits until all of its tasks have ended", function()
		local seen = {}
		run(function()
			local wg = waitgroup.new()
			for i = 1, 3 do
				wg:fork(function()
					silly.sleep(0)
					seen[#seen + 1] = i
				end)
			end
			wg:wait()
			seen[#seen + 1] = "all"
		end)
		assert.are.same({ 1, 2, 3, "all" }, seen)
	end)

	it("returns the task of a fork", function()
		run(function()
			local wg, own = waitgroup.new(), nil
			local co = wg:fork(function() own = task.running() end)
			wg:wait()
			assert.are.equal("thread", type(co))
			assert.are.equal(co, own)
		end)
	end)

	it("does not wait when there is nothing to wait for, in the main chunk too", function()
		waitgroup.new():wait()
		run(function()
			local wg, seen = waitgroup.new(), {}
			task.fork(function() seen[#seen + 1] = "other" end)
			wg:wait()
			assert.are.same({}, seen)
		end)
	end)

	it("counts a failed task as ended and reports its error", function()
		local waited
		run(function()
			local wg = waitgroup.new()
			wg:fork(function() error("boom") end)
			wg:fork(function() coroutine.yield() end)
			wg:wait()
			waited = wg.count
		end, "silly_sync_spec.lua:%d+: boom\nstack traceback:.*coroutine.yield outside")
		assert.are.equal(0, waited)
	end)

	it("wakes every waiting task, in order", function()
		local seen = {}
		run(function()
			local wg = waitgroup.new()
			local go = wg:fork(function() task.wait() end)
			for i = 1, 3 do
				task.fork(function()
					wg:wait()
					seen[#seen + 1] = i
				end)
			end
			silly.sleep(0)
			assert.are.same({}, seen)
			task.wakeup(go)
		end)
		assert.are.same({ 1, 2, 3 }, seen)
	end)

	it("keeps a task waiting that others wake too early", function()
		local seen = {}
		run(function()
			local wg = waitgroup.new()
			local go = wg:fork(function() task.wait() seen[#seen + 1] = "ended" end)
			local waiter = task.fork(function() wg:wait() seen[#seen + 1] = "waited" end)
			silly.sleep(0)
			task.wakeup(waiter)
			silly.sleep(0)
			task.wakeup(go)
		end)
		assert.are.same({ "ended", "waited" }, seen)
	end)

	it("forgets who waited before", function()
		local value, waited
		run(function()
			local wg = waitgroup.new()
			wg:fork(function() silly.sleep(0) end)
			local waiter = task.fork(function()
				wg:wait()
				waited = true
				value = task.wait()
			end)
			repeat
				silly.sleep(0)
			until waited
			wg:fork(function() end)
			wg:wait()
			task.wakeup(waiter, "mine")
		end)
		assert.are.equal("mine", value)
	end)

	it("can be used again, and nested", function()
		local seen = {}
		run(function()
			local outer = waitgroup.new()
			for round = 1, 2 do
				outer:fork(function()
					local inner = waitgroup.new()
					inner:fork(function() silly.sleep(0) seen[#seen + 1] = "inner" end)
					inner:wait()
					seen[#seen + 1] = "outer"
				end)
				outer:wait()
				seen[#seen + 1] = round
			end
		end)
		assert.are.same({ "inner", "outer", 1, "inner", "outer", 2 }, seen)
	end)

	it("raises an error when it would have to wait in the main chunk", function()
		local wg = waitgroup.new()
		wg:fork(function() end)
		local ok, err = pcall(wg.wait, wg)
		assert.is_false(ok)
		assert.matches("waitgroup:wait: can wait only inside a task", err, 1, true)
		run()
	end)
end)

describe("a mutex", function()
	it("lets one task at a time through, in the order in which they asked", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			for i = 1, 3 do
				task.fork(function()
					local guard = m:lock("key")
					seen[#seen + 1] = "in " .. i
					silly.sleep(0)
					silly.sleep(0)
					seen[#seen + 1] = "out " .. i
					guard:unlock()
				end)
			end
		end)
		assert.are.same({ "in 1", "out 1", "in 2", "out 2", "in 3", "out 3" }, seen)
	end)

	it("is handed to the waiting task, not to who unlocked it", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local guard = m:lock("key")
			task.fork(function()
				local other = m:lock("key")
				seen[#seen + 1] = "waiting task"
				other:unlock()
			end)
			silly.sleep(0)
			guard:unlock()
			guard = m:lock("key")
			seen[#seen + 1] = "main"
			guard:unlock()
		end)
		assert.are.same({ "waiting task", "main" }, seen)
	end)

	it("may be locked again by its owner, in a nested coroutine too", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local outer = m:lock("key")
			local inner = m:lock("key")
			local nested = coroutine.wrap(function() return m:lock("key") end)()
			task.fork(function()
				m:lock("key"):unlock()
				seen[#seen + 1] = "other"
			end)
			for _, guard in ipairs { nested, inner, outer } do
				silly.sleep(0)
				seen[#seen + 1] = "held"
				guard:unlock()
			end
		end)
		assert.are.same({ "held", "held", "held", "other" }, seen)
	end)

	it("may be locked again by a task that had to wait for it", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local guard = m:lock("key")
			task.fork(function()
				local outer = m:lock("key")
				m:lock("key"):unlock()
				silly.sleep(0)
				seen[#seen + 1] = "first"
				outer:unlock()
			end)
			task.fork(function()
				m:lock("key"):unlock()
				seen[#seen + 1] = "second"
			end)
			silly.sleep(0)
			guard:unlock()
		end)
		assert.are.same({ "first", "second" }, seen)
	end)

	it("locks each key for itself, and each mutex", function()
		local seen = 0
		run(function()
			local m, key = mutex.new(), {}
			m:lock(key)
			task.fork(function()
				m:lock({})
				m:lock("key")
				m:lock(false)
				mutex.new():lock(key)
				seen = seen + 1
			end)
		end)
		assert.are.equal(1, seen)
	end)

	it("ignores a second unlock of the same guard", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local first = m:lock("key")
			first:unlock()
			local second = m:lock("key")
			first:unlock()
			task.fork(function()
				m:lock("key"):unlock()
				seen[#seen + 1] = "other"
			end)
			silly.sleep(0)
			seen[#seen + 1] = "held"
			second:unlock()
		end)
		assert.are.same({ "held", "other" }, seen)
	end)

	it("keeps a task waiting that others wake too early", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local guard = m:lock("key")
			local waiter = task.fork(function()
				m:lock("key"):unlock()
				seen[#seen + 1] = "locked"
			end)
			silly.sleep(0)
			task.wakeup(waiter)
			silly.sleep(0)
			seen[#seen + 1] = "held"
			task.wakeup(waiter)
			guard:unlock()
		end)
		assert.are.same({ "held", "locked" }, seen)
	end)

	it("passes over tasks that were forgotten at the end of a run", function()
		local m, guard, seen = mutex.new(), nil, nil
		local stderr = io.stderr
		rawset(io, "stderr", { write = function() end })
		silly.run(function()
			guard = m:lock("key")
			task.fork(function() m:lock("key") end)
		end)
		rawset(io, "stderr", stderr)
		guard:unlock()
		run(function()
			m:lock("key")
			seen = true
		end)
		assert.is_true(seen)
	end)

	it("can be locked in the main chunk, where it cannot wait", function()
		local m = mutex.new()
		local guard = m:lock("key")
		m:lock("key"):unlock()
		run(function() task.fork(function() m:lock("key") end) guard:unlock() end)
		local ok, err = pcall(m.lock, m, "key")
		assert.is_false(ok)
		assert.matches("mutex:lock: can wait only inside a task", err, 1, true)
	end)

	local closes = coroutine.close and it or pending
	closes("goes to the next where a task is closed before it gets the key", function()
		local seen = {}
		run(function()
			local m = mutex.new()
			local guard = m:lock("key")
			local waiters = {}
			for i = 1, 3 do
				waiters[i] = task.fork(function()
					m:lock("key"):unlock()
					seen[#seen + 1] = i
				end)
			end
			silly.sleep(0)
			guard:unlock()
			assert(coroutine.close(waiters[1]))
			assert(coroutine.close(waiters[2]))
		end)
		assert.are.same({ 3 }, seen)
	end)

	closes("is free where the last task is closed before it gets the key", function()
		local m = mutex.new()
		run(function()
			local guard = m:lock("key")
			local waiter = task.fork(function() m:lock("key") end)
			silly.sleep(0)
			guard:unlock()
			assert(coroutine.close(waiter))
		end)
		run(function() m:lock("key"):unlock() end)
	end)

	closes("is free where a run ends before a task gets the key", function()
		local m = mutex.new()
		local ok, problem = pcall(silly.run, function()
			local guard = m:lock("key")
			task.fork(function() m:lock("key") end)
			silly.sleep(0)
			guard:unlock()
			error "boom"
		end)
		assert.is_false(ok)
		assert.matches("boom", problem, 1, true)
		run(function() m:lock("key"):unlock() end)
	end)

	it("refuses nil as a key", function()
		local m = mutex.new()
		assert.has_error(function() m:lock(nil) end, "mutex:lock: the key is nil")
	end)

	closes("is unlocked by <close>, also when the task fails", function()
		local source = [[
			local m, sleep = ...
			local guard <close> = m:lock("key")
			sleep(0)
			error("boom")
		]]
		local seen
		run(function()
			local m = mutex.new()
			task.fork(function() load(source)(m, silly.sleep) end)
			task.fork(function()
				m:lock("key")
				seen = true
			end)
		end, "boom")
		assert.is_true(seen)
	end)
end)

describe("a channel", function()
	it("delivers what was pushed, in order", function()
		local ch, seen = channel.new(), {}
		run(function()
			assert.is_true(ch:push("queued"))
			task.fork(function()
				for _ = 1, 4 do
					seen[#seen + 1] = ch:pop()
				end
			end)
			silly.sleep(0)
			assert.is_true(ch:push("waited for"))
			assert.is_true(ch:push(3))
			silly.sleep(0)
			ch:push(4)
		end)
		assert.are.same({ "queued", "waited for", 3, 4 }, seen)
	end)

	it("carries any value but nil and false", function()
		local ch, value = channel.new(), {}
		assert.are.same({ false, "Nil data" }, { ch:push(nil) })
		assert.are.same({ false, "Nil data" }, { ch:push(false) })
		ch:push(0)
		ch:push(value)
		assert.are.equal(0, (ch:pop()))
		assert.are.equal(value, (ch:pop()))
	end)

	it("delivers the queued values after a close, then the reason", function()
		local ch, reason = channel.new(), {}
		ch:push(1)
		ch:push(2)
		ch:close(reason)
		assert.are.equal(1, (ch:pop()))
		assert.are.equal(2, (ch:pop()))
		for _ = 1, 2 do
			local value, why = ch:pop()
			assert.is_nil(value)
			assert.are.equal(reason, why)
		end
	end)

	it("refuses to push after a close, with the reason of the last one", function()
		local ch = channel.new()
		ch:close()
		assert.are.same({ false, "channel closed" }, { ch:push(1) })
		ch:close "again"
		assert.are.same({ false, "again" }, { ch:push(1) })
		assert.are.same({ nil, "again" }, { ch:pop() })
	end)

	it("wakes the waiting task at a close", function()
		local ch, value, reason = channel.new(), "unset", nil
		run(function()
			task.fork(function() value, reason = ch:pop() end)
			silly.sleep(0)
			ch:close("over")
		end)
		assert.is_nil(value)
		assert.are.equal("over", reason)
	end)

	it("drops the queued values with clear, and stays open", function()
		local ch = channel.new()
		ch:push(1)
		ch:push(2)
		ch:clear()
		ch:push(3)
		assert.are.equal(3, (ch:pop()))
		ch:close()
		assert.are.same({ nil, "channel closed" }, { ch:pop() })
	end)

	it("has one waiting task at most", function()
		local ch, value, reason = channel.new(), "unset", nil
		run(function()
			task.fork(function() assert(ch:pop() == "first") end)
			task.fork(function() value, reason = ch:pop() end)
			silly.sleep(0)
			ch:push("first")
		end)
		assert.is_nil(value)
		assert.are.equal("Channel is mpsc", reason)
	end)

	it("loses nothing when the waiting task is woken by others, as by a timeout", function()
		local ch, seen = channel.new(), {}
		run(function()
			local consumer = task.fork(function()
				seen[#seen + 1] = { n = select("#", ch:pop()) }
				seen[#seen + 1] = ch:pop()
			end)
			silly.sleep(0)
			task.wakeup(consumer)
			ch:push("late")
		end)
		assert.are.same({ { n = 2 }, "late" }, seen)
	end)

	it("does not wake a task that waits for something else by now", function()
		local ch, seen = channel.new(), {}
		run(function()
			local consumer = task.fork(function()
				ch:pop()
				seen[#seen + 1] = task.wait()
				seen[#seen + 1] = ch:pop()
			end)
			silly.sleep(0)
			task.wakeup(consumer)
			silly.sleep(0)
			ch:push("pushed")
			silly.sleep(0)
			task.wakeup(consumer, "woken")
		end)
		assert.are.same({ "woken", "pushed" }, seen)
	end)

	it("raises an error when it would have to wait in the main chunk, and works afterwards", function()
		local ch = channel.new()
		local ok, err = pcall(ch.pop, ch)
		assert.is_false(ok)
		assert.matches("channel:pop: can wait only inside a task", err, 1, true)
		ch:push(1)
		assert.are.equal(1, (ch:pop()))
	end)

	local closes = coroutine.close and it or pending
	closes("keeps the value for another task where one is closed before it gets it", function()
		local seen = {}
		run(function()
			local ch = channel.new()
			local function consume()
				seen[#seen + 1] = ch:pop()
			end
			local closed = task.fork(consume)
			silly.sleep(0)
			ch:push(1)
			ch:push(2)
			assert(coroutine.close(closed))
			silly.sleep(0)
			consume()
			consume()
			closed = task.fork(consume)
			silly.sleep(0)
			ch:push(3)
			assert(coroutine.close(closed))
			consume()
		end)
		assert.are.same({ 1, 2, 3 }, seen)
	end)

	closes("keeps the order of the values where one is closed before it gets the first", function()
		local seen = {}
		run(function()
			local ch = channel.new()
			local closed = task.fork(function() seen[#seen + 1] = ch:pop() end)
			silly.sleep(0)
			ch:push(1)
			assert(coroutine.close(closed))
			ch:push(2)
			for _ = 1, 2 do
				seen[#seen + 1] = ch:pop()
			end
		end)
		assert.are.same({ 1, 2 }, seen)
	end)

	it("passes ten thousand values between producers and a consumer", function()
		local sum = 0
		run(function()
			local ch, wg = channel.new(), waitgroup.new()
			for _ = 1, 10 do
				wg:fork(function()
					for i = 1, 1000 do
						ch:push(i)
						if i % 100 == 0 then
							silly.sleep(0)
						end
					end
				end)
			end
			task.fork(function()
				wg:wait()
				ch:close()
			end)
			local value = ch:pop()
			while value do
				sum = sum + value
				value = ch:pop()
			end
		end)
		assert.are.equal(10 * 500500, sum)
	end)
end)
