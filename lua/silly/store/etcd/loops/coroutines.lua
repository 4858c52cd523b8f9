-- What the loops of hosts have in common whose callers are plain coroutines, resumed by whoever likes to.
--
-- A coroutine that a caller has made for itself, a generator say, must not call the client: its yield would go to the
-- wrong place.

local isyieldable = coroutine.isyieldable or function() return true end -- luacheck: ignore 143

local coroutines = {}

--- The running coroutine, if it may be suspended.
---@return thread?
function coroutines.current()
	local co, main = coroutine.running()
	if co and not main and isyieldable() then
		return co
	end
end

coroutines.park = coroutine.yield

--- Resumes a caller. An error that it raises is its own: it is reported, and others go on.
---@param co thread
function coroutines.wake(co)
	if coroutine.status(co) == "suspended" then
		local ok, message = coroutine.resume(co)
		if not ok then
			io.stderr:write(debug.traceback(co, tostring(message)), "\n")
		end
	end
end

return coroutines
