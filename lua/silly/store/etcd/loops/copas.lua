-- The loop of copas, from version 4 on: callers pause until they are woken. One thread of copas watches the core; it
-- ends when nothing is in flight, so that copas.loop can end too.

local copas = require "copas"

local coroutines = require "silly.store.etcd.loops.coroutines"
-- The one replaces the other in later versions.
local pause = copas.pauseforever or function() copas.sleep(-1) end

if not copas.wakeup then
	error(("copas 4 or later is needed, this is %s"):format(copas._VERSION or "older"))
end

local loop = { go = copas.addthread }

-- The thread that watches; dead once nothing is in flight.
local watcher ---@type thread?

function loop.current()
	local co, main = coroutine.running()
	if co and not main then
		return coroutines.able(co)
	end
end

function loop.park()
	pause()
	return coroutines.EARLY
end

function loop.wake(co)
	copas.wakeup(co)
end

-- What copas takes for a socket: select() asks for its descriptor, and `receive` finds nothing until that is readable.
local function socket(core)
	local asked = false
	return {
		getfd = function() return core:fd() end,
		dirty = function() return false end,
		receive = function()
			asked = not asked
			if asked then
				return nil, "timeout"
			end
			return ""
		end,
		-- copas.cancelall closes it and forgets the thread.
		close = function() watcher = nil end,
	}
end

function loop.start(core, pump)
	if watcher and coroutine.status(watcher) ~= "dead" then
		return
	end
	watcher = copas.addthread(function()
		repeat
			copas.receive(socket(core))
		until pump() == 0
	end)
end

return loop
