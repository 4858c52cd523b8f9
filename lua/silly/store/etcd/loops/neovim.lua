-- The loop of Neovim: callers are coroutines, resumed where vim.api may be used. Other callers block as `vim.wait`
-- does: the editor goes on, and Ctrl-C ends the call. In a fast event, a callback of luv's, and in a finalizer, which
-- may run in one, Neovim cannot wait like that, and stands still.

local coroutines = require "silly.store.etcd.loops.coroutines"
local vim = vim -- luacheck: ignore 113
local uv = vim.uv or vim.loop

local neovim = { current = coroutines.current, park = coroutines.park }

neovim.wake = coroutines.waker(function(traceback)
	vim.notify(traceback, vim.log.levels.ERROR)
end)

neovim.go = coroutines.starter(neovim.wake)

-- Milliseconds: the longest wait there is.
local LONGEST = 2147483647

-- What watches the core, and hands out results to those who are suspended.
local handle, core, pump ---@type any, silly.store.etcd.core, silly.store.etcd.pump?
-- Is that about to happen?
local scheduled = false
-- How often the core has signalled, and how many callers block.
local signals, blocking = 0, 0

local resume ---@type function

-- Once for each signal: it would come again and again until what is scheduled runs.
local function readable()
	handle:stop()
	signals = signals + 1
	if pump and not scheduled then
		vim.schedule(resume)
		scheduled = true
	end
end

local function watch()
	-- Programs clean up with uv.walk, which closes it.
	if not handle or handle:is_closing() then
		handle = uv.new_poll(core:fd())
	end
	if not handle:is_active() then
		handle:start("r", readable)
	end
end

function resume()
	scheduled = false
	-- While one caller blocks nobody else runs.
	if blocking == 0 then
		watch()
		assert(pump)()
	end
end

function neovim.start(c, p)
	core, pump = c, p
	if not scheduled then
		watch()
	end
end

-- Lua calls no hooks while it runs a finalizer. A hook that C has set could not be set again.
local function finalizing()
	local hook, mask, count = debug.gethook()
	if type(hook) == "string" then
		return false
	end
	local called = false
	local sethook = debug.sethook ---@type function
	sethook(function() called = true end, "", 1)
	sethook(hook, mask, count)
	return not called
end

-- For another caller that blocks, further out: its results may be among those that this one takes.
local function take_all(take)
	take()
	signals = signals + 1
end

function neovim.block(c, take, taken)
	-- First: whatever is made here may run a finalizer, whose call takes the results of this one.
	local seen = signals
	core = c
	if vim.in_fast_event() or finalizing() then
		core:wait(nil, taken)
		take_all(take)
		return nil
	end
	local function signalled()
		return signals ~= seen
	end
	watch()
	blocking = blocking + 1
	-- vim.wait of Neovim 0.7 does not see Ctrl-C where there is a condition.
	local ok, result = pcall(vim.fn.wait, LONGEST, signalled)
	blocking = blocking - 1
	watch()
	take_all(take)
	-- An error where Ctrl-C comes together with the response.
	local interrupted = result == -2 or tostring(result):find("Keyboard interrupt", 1, true)
	if not ok and not interrupted then
		error(result, 0)
	end
	return interrupted and "interrupted by Ctrl-C" or nil
end

return neovim
