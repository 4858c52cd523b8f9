-- What the loops of hosts have in common whose callers are plain coroutines, resumed by whoever likes to.
--
-- A coroutine that a caller has made for itself, a generator say, must not call the client: its yield would go to the
-- wrong place.

local coroutines = {}

-- function -> can a coroutine not yield through it? C's are opaque, but for two, which PUC's Lua 5.1 does not spare.
local opaque = setmetatable({}, { __mode = "k" })
if _VERSION ~= "Lua 5.1" or rawget(_G, "jit") then
	opaque[pcall], opaque[xpcall] = false, false
end

-- Lua 5.1 and 5.2 do not tell. But a coroutine can yield unless a C function, `table.sort` say, waits for it; or, on
-- 5.1, a metamethod or an iterator, of which there is no trace.
local function isyieldable()
	local level = 2
	local frame = debug.getinfo(level, "f")
	while frame do
		local func = frame.func -- none where a tail call has taken its place
		if func and opaque[func] == nil then
			opaque[func] = debug.getinfo(func, "S").what == "C"
		end
		if func and opaque[func] then
			return false
		end
		level = level + 1
		frame = debug.getinfo(level, "f")
	end
	return true
end

--- May the running coroutine be suspended right here?
coroutines.isyieldable = coroutine.isyieldable or isyieldable -- luacheck: ignore 143

--- The running coroutine, if it may be suspended.
---@return thread?
function coroutines.current()
	local co, main = coroutine.running()
	if co and not main and coroutines.isyieldable() then
		return co
	end
end

coroutines.park = coroutine.yield

--- A way to resume callers. An error that one raises is its own: it is reported, and others go on.
---@param report fun(traceback: string)
---@return fun(co: thread) wake
function coroutines.waker(report)
	return function(co)
		if coroutine.status(co) == "suspended" then
			local ok, message = coroutine.resume(co)
			if not ok then
				report(debug.traceback(co, tostring(message)))
			end
		end
	end
end

return coroutines
