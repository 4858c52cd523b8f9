-- Neovim, without a window: coroutines resumed from its event loop, while `vim.wait` runs that.

local vim = vim -- luacheck: ignore 113
local left = false

local function fork(f)
	coroutine.wrap(f)()
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
