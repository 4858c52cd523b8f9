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
		handle:start("r", vim.schedule_wrap(pump))
	end
end

return neovim
