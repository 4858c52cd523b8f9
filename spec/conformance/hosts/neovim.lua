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
	cases = { { name = "a signal is scheduled once", run = scheduled } },
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
