-- The loop of Neovim: callers are coroutines, resumed where vim.api may be used.

local coroutines = require "silly.store.etcd.loops.coroutines"
local vim = vim -- luacheck: ignore 113
local uv = vim.uv or vim.loop

local neovim = { current = coroutines.current, park = coroutines.park }

neovim.wake = coroutines.waker(function(traceback)
	vim.api.nvim_err_writeln(traceback)
end)

local handle

function neovim.start(core, pump)
	if not handle then
		handle = uv.new_poll(core:fd())
		local resume
		-- Once for each signal: it would come again and again until what is scheduled runs.
		local function readable()
			handle:stop()
			resume()
		end
		resume = vim.schedule_wrap(function()
			handle:start("r", readable)
			pump()
		end)
		handle:start("r", readable)
	end
end

return neovim
