-- Neovim, without a window: coroutines resumed from its event loop, while `vim.wait` runs that.

local vim = vim -- luacheck: ignore 113
local left = false

local function fork(f)
	coroutine.wrap(f)()
end

-- What is scheduled runs later: until then a signal must not be scheduled again.
local function scheduled(t, client)
	local schedule, count = vim.schedule, 0
	local core = require "silly.store.etcd.core"
	assert(client:get { key = t.prefix })
	function vim.schedule(f)
		count = count + 1
		schedule(f)
	end
	core:poke()
	for _ = 1, 10 do
		(vim.uv or vim.loop).run "nowait"
	end
	vim.schedule = schedule
	t.equal(1, count)
end

-- While a call blocks the editor goes on: the key that is waited for is put by what it runs.
local function busy(t, client)
	local stream = assert(client:watch { key = t.prefix })
	local answered, early, ticks = false, nil, 0
	fork(function()
		assert(client:get { key = t.prefix })
		answered = true
	end)
	local timer = (vim.uv or vim.loop).new_timer()
	timer:start(0, 1, vim.schedule_wrap(function()
		ticks = ticks + 1
		early = early or answered
		if ticks == 30 then
			fork(function() assert(client:put { key = t.prefix, value = "" }) end)
		end
	end))
	assert(stream:read(60))
	timer:close()
	t.equal(false, early or answered, "another caller was resumed")
	vim.wait(60000, function() return answered end, 1)
	t.equal(true, answered)
end

-- What the editor runs meanwhile may block too.
local function nested(t, client)
	local stream = assert(client:watch { key = t.prefix })
	local put
	vim.schedule(function() put = client:put { key = t.prefix, value = "" } end)
	assert(stream:read(60))
	assert(put)
end

-- In a callback of luv's Neovim must not wait.
local function fast(t, client)
	local answer, event
	local timer = (vim.uv or vim.loop).new_timer()
	timer:start(0, 0, function()
		event = vim.in_fast_event()
		answer = client:get { key = t.prefix }
		timer:close()
	end)
	vim.wait(60000, function() return answer end, 1)
	t.equal({}, assert(answer).kvs)
	t.equal(true, event)
end

-- It takes the results of all, those of the call outside of it too.
local function within(t, client)
	local outer, inner = assert(client:watch { key = t.prefix .. 1 }), assert(client:watch { key = t.prefix .. 2 })
	local ended
	local timer = (vim.uv or vim.loop).new_timer()
	timer:start(10, 0, function()
		ended = select(2, inner:read(0.2))
		timer:close()
	end)
	t.equal("timeout", (select(2, outer:read(0.1))))
	t.equal("timeout", ended)
end

-- A finalizer that runs while a call begins to block takes what the call waits for.
local function finalized(t, client)
	local count = 0
	local function finalize()
		count = count + 1
		pcall(client.get, client, t.prefix) -- an error would strike Neovim's own code
	end
	local pause, stepmul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
	for _ = 1, 200 do
		getmetatable(newproxy(true)).__gc = finalize -- luacheck: ignore 113
		assert(client:get { key = t.prefix })
	end
	collectgarbage("setpause", pause)
	collectgarbage("setstepmul", stepmul)
	collectgarbage()
	assert(count > 0)
end

local function reported(t, client)
	local notify, seen = vim.notify, {}
	function vim.notify(...)
		seen[#seen + 1] = { ... }
	end
	t.together { function()
		fork(function()
			assert(client:get { key = t.prefix })
			error "boom"
		end)
		assert(client:get { key = t.prefix })
		assert(client:get { key = t.prefix })
	end }
	vim.notify = notify
	t.equal(1, #seen)
	assert(seen[1][1]:find "boom\nstack traceback")
	t.equal(vim.log.levels.ERROR, seen[1][2])
end

local failures = require "spec.conformance.suite" {
	name = "neovim",
	run = function(main)
		left = false
		fork(function()
			main()
			left = true
		end)
		vim.wait(600000, function() return left end, 1)
	end,
	fork = fork,
	cases = {
		{ name = "a signal is scheduled once", run = scheduled },
		{ name = "n6: the editor goes on while a call blocks", outside = true, run = busy },
		{ name = "n6: a call blocks while another does", outside = true, run = nested },
		{ name = "n6: a call blocks in a fast event", run = fast },
		{ name = "n6: a call blocks in a fast event while another does", outside = true, run = within },
		{ name = "n6: a call blocks while finalizers call", outside = true, run = finalized },
		{ name = "n6: a failure is shown as vim.notify does", run = reported },
	},
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
		-- Answers come where the editor may be used.
		assert(vim.api.nvim_get_current_buf() > 0)
		left = true
		coroutine.yield()
	end,
}
vim.cmd(failures == 0 and "qall!" or "cquit")
