-- The loop of Neovim: callers are coroutines, resumed where vim.api may be used.

local coroutines = require "silly.store.etcd.loops.coroutines"
local vim = vim -- luacheck: ignore 113
local uv = vim.uv or vim.loop

local neovim = { current = coroutines.current, park = coroutines.park }

neovim.wake = coroutines.waker(function(traceback)
	vim.api.nvim_err_writeln(traceback)
end)

neovim.go = coroutines.starter(neovim.wake)

local handle

function neovim.start(core, pump)
	if not handle or handle:is_closing() then
		local poll, resume = uv.new_poll(core:fd()), nil
		-- Once for each signal: it would come again and again until what is scheduled runs.
		local function readable()
			poll:stop()
			resume()
		end
		resume = vim.schedule_wrap(function()
			if not poll:is_closing() then
				poll:start("r", readable)
			end
			pump()
		end)
		poll:start("r", readable)
		handle = poll
	end
end

return neovim
