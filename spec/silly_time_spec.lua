-- silly.time: sleeping, timers and their order.
-- In: delays, against a clock that the spec moves itself, so that the order is exact and nothing takes time.
-- Out: what ran in which order, and how often the scheduler blocked.

local clock

-- The runtime over a core whose clock moves only while it is waited for.
local function reload()
	clock = { ms = 1000, waits = {} }
	function clock.monotonic()
		return clock.ms
	end
	function clock.now()
		return 1700000000000 + clock.ms
	end
	function clock.wait(_, seconds)
		clock.waits[#clock.waits + 1] = seconds
		clock.ms = clock.ms + seconds * 1000
	end
	require "silly.store.etcd"
	for _, name in ipairs { "silly", "silly.task", "silly.time" } do
		package.loaded[name] = nil
	end
	package.loaded["silly.store.etcd.core"] = clock
	return require "silly", require "silly.task", require "silly.time"
end

local loaded = {}
for _, name in ipairs { "silly", "silly.task", "silly.time", "silly.store.etcd.core" } do
	loaded[name] = package.loaded[name]
end

local silly, task, time

before_each(function()
	silly, task, time = reload()
end)

after_each(function()
	for _, name in ipairs { "silly", "silly.task", "silly.time", "silly.store.etcd.core" } do
		package.loaded[name] = loaded[name]
	end
end)

describe("time.sleep", function()
	it("wakes the tasks in the order of their delays", function()
		local seen = {}
		silly.run(function()
			for _, ms in ipairs { 30, 10, 50, 20, 40 } do
				task.fork(function()
					time.sleep(ms)
					seen[#seen + 1] = ms
				end)
			end
		end)
		assert.are.same({ 10, 20, 30, 40, 50 }, seen)
	end)

	it("wakes tasks with the same delay in the order in which they went to sleep", function()
		local seen, expected = {}, {}
		silly.run(function()
			for i = 1, 100 do
				expected[i] = i
				task.fork(function()
					time.sleep(10)
					seen[#seen + 1] = i
				end)
			end
		end)
		assert.are.same(expected, seen)
	end)

	it("lets the other ready tasks run when the delay is 0 or less", function()
		local seen = {}
		silly.run(function()
			for _, ms in ipairs { 0, -5 } do
				task.fork(function() seen[#seen + 1] = "other" end)
				time.sleep(ms)
				seen[#seen + 1] = ms
			end
		end)
		assert.are.same({ "other", 0, "other", -5 }, seen)
		assert.are.same({}, clock.waits)
	end)

	it("blocks once until the next timer instead of polling", function()
		silly.run(function()
			task.fork(function() time.sleep(250) end)
			time.sleep(1000)
		end)
		assert.are.same({ 0.25, 0.75 }, clock.waits)
	end)

	it("does not wake early when the core stops waiting early", function()
		local wait, woken = clock.wait, nil
		function clock.wait(self, seconds)
			wait(self, seconds / 2)
		end
		silly.run(function()
			time.sleep(8)
			woken = clock.ms
		end)
		assert.is_true(woken >= 1008)
	end)

	it("refuses what is not a number of milliseconds", function()
		silly.run(function()
			assert.has_error(function() time.sleep("10") end, "time.sleep: milliseconds expected, got string")
			assert.has_error(function() time.sleep() end, "time.sleep: milliseconds expected, got nil")
			assert.has_error(function() time.sleep(0 / 0) end, "time.sleep: milliseconds expected, got nan")
		end)
	end)

	it("raises an error outside of a task and leaves no timer behind", function()
		assert.has_error(function() time.sleep(10) end)
		silly.run()
		assert.are.same({}, clock.waits)
	end)

	it("raises an error where Lua cannot yield, and the task goes on", function()
		local ok, after
		silly.run(function()
			ok = pcall(table.sort, { 1, 2, 3 }, function() time.sleep(10) end)
			time.sleep(5)
			after = true
		end)
		assert.is_false(ok)
		assert.is_true(after)
	end)

	it("is silly.sleep too", function()
		assert.are.equal(time.sleep, silly.sleep)
	end)

	it("lets ten thousand tasks sleep and wake at once", function()
		local woken = 0
		silly.run(function()
			for _ = 1, 10000 do
				task.fork(function()
					time.sleep(10)
					woken = woken + 1
				end)
			end
		end)
		assert.are.equal(10000, woken)
		assert.are.same({ 0.01 }, clock.waits)
	end)
end)

describe("time.after", function()
	it("runs the functions in the order of their delays, after the caller went on", function()
		local seen = {}
		silly.run(function()
			for _, ms in ipairs { 20, 0, 10 } do
				time.after(ms, function() seen[#seen + 1] = ms end)
			end
			seen[#seen + 1] = "armed"
		end)
		assert.are.same({ "armed", 0, 10, 20 }, seen)
	end)

	it("hands over ud, or else the session", function()
		local seen, session = {}, nil
		silly.run(function()
			session = time.after(1, function(got) seen.session = got end)
			time.after(1, function(got) seen.ud = got end, "ud")
			time.after(1, function(got) seen.boolean = got end, false)
		end)
		assert.are.equal("number", type(session))
		assert.are.same({ session = session, ud = "ud", boolean = false }, seen)
	end)

	it("runs the function as a task of its own", function()
		local seen = {}
		silly.run(function()
			local main = task.running()
			time.after(10, function()
				seen[#seen + 1] = task.running() ~= main
				time.sleep(10)
				seen[#seen + 1] = "slept"
			end)
			time.after(15, function() seen[#seen + 1] = "between" end)
		end)
		assert.are.same({ true, "between", "slept" }, seen)
	end)

	it("works before the run", function()
		local seen
		time.after(1, function() seen = true end)
		silly.run()
		assert.is_true(seen)
	end)

	it("keeps nothing alive afterwards", function()
		local objects = setmetatable({}, { __mode = "v" })
		silly.run(function()
			objects.run, objects.cancelled = {}, {}
			time.after(1, function() end, objects.run)
			time.cancel(time.after(1, function() end, objects.cancelled))
		end)
		collectgarbage()
		collectgarbage()
		assert.are.same({}, objects)
	end)

	it("refuses what is not a number and a function", function()
		assert.has_error(function() time.after(1) end, "time.after: function expected, got nil")
		assert.has_error(function() time.after("1", print) end, "time.after: milliseconds expected, got string")
	end)
end)

describe("time.cancel", function()
	it("keeps the function from running, and the timer from keeping the run alive", function()
		local seen
		silly.run(function()
			time.cancel(time.after(1000000, function() seen = true end))
		end)
		assert.is_nil(seen)
		assert.are.same({}, clock.waits)
	end)

	it("works for a function that is due in the same round", function()
		local seen, second = {}, nil
		silly.run(function()
			time.after(10, function()
				seen[#seen + 1] = "first"
				time.cancel(second)
			end)
			second = time.after(10, function() seen[#seen + 1] = "second" end)
			time.after(20, function() seen[#seen + 1] = "third" end)
		end)
		assert.are.same({ "first", "third" }, seen)
	end)

	it("does nothing for a session that is over, is running or never was", function()
		local ran = 0
		silly.run(function()
			local session
			session = time.after(1, function()
				time.cancel(session)
				time.sleep(1)
				ran = ran + 1
			end)
			time.sleep(5)
			time.after(1, function() ran = ran + 1 end)
			time.cancel(session)
			time.cancel(session)
			time.cancel(987654)
			time.cancel(nil)
		end)
		assert.are.equal(2, ran)
	end)

	it("leaves the order of the others alone", function()
		local seen, expected, sessions, state = {}, {}, {}, 1
		silly.run(function()
			for i = 1, 1000 do
				state = (state * 16807) % 2147483647
				local ms = state % 500
				sessions[i] = time.after(ms, function() seen[#seen + 1] = ms * 1000 + i end)
				if i % 3 ~= 0 then
					expected[#expected + 1] = ms * 1000 + i
				end
			end
			for i = 3, 1000, 3 do
				time.cancel(sessions[i])
			end
		end)
		table.sort(expected)
		assert.are.same(expected, seen)
	end)
end)

describe("the clocks", function()
	it("are those of the core", function()
		assert.are.equal(1000, time.monotonic())
		assert.are.equal(1700000001000, time.now())
	end)
end)
