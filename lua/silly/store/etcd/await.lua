-- Parks the caller of an operation until its results are there.
--
-- In: the id of an operation that was submitted. Out: what it returns. The `pump` of each loop hands out the results
-- of all operations of the lua_State, whatever loop their callers run on.

local core = require "silly.store.etcd.core"

-- operation id -> its waiter: { done, owner, loop, co, [1..3] = results }
local waiters = {}
local inflight = 0

-- There is no waiter where an error, of memory or of a signal's hook, came between submitting and waiting.
local function finish(id, a, b, c)
	local waiter = waiters[id]
	if not waiter then
		return
	end
	waiters[id] = nil
	inflight = inflight - 1
	waiter[1], waiter[2], waiter[3] = a, b, c
	waiter.done, waiter.owner = true, nil
	if waiter.co then
		waiter.loop.wake(waiter.co, waiter)
	end
end

-- Hands out what has completed. Returns how many operations have not.
local function drain(get)
	while true do
		local id, a, b, c = get(core)
		if not id then
			return inflight
		elseif id > 0 then
			finish(id, a, b, c)
		else
			-- This is a forked child: what was under way up to this id is the parent's.
			local old = {}
			for waiting in pairs(waiters) do
				old[#old + 1] = waiting <= -id and waiting or nil
			end
			for _, waiting in ipairs(old) do
				finish(waiting, a, b, c)
			end
		end
	end
end

-- The next result, but none where Lua has no memory for it: an error would end the loop's watcher, and the core has
-- signalled again. Nothing is called after that, as there is no memory for calls either.
local function affordable()
	local ok, id, a, b, c = pcall(core.next, core)
	if ok then
		return id, a, b, c
	end
end

-- loop -> its pump
local pumps = setmetatable({}, { __mode = "k" })
-- The pumps whose loops watch the core: from `start` until they are told that nothing is in flight.
local watching = {}

-- Where the last result was taken, the loops that still watch must hear of it.
local function tell(left)
	if left == 0 and next(watching) then
		core:poke()
	end
end

local function newpump()
	--- Hands out what has completed. Called by the loop, on the Lua thread.
	---@return integer inflight  operations that have not completed
	local function pump()
		local left = drain(affordable)
		if left == 0 and watching[pump] then
			watching[pump] = nil
			tell(left)
		end
		return left
	end
	return pump
end

-- The same for a caller that blocks.
local function take()
	local left = drain(core.next)
	tell(left)
	return left
end

local function block()
	core:wait()
	take()
end

--- Waits for an operation.
---@param owner { loop: silly.store.etcd.loop }  the object whose operation it is; the collector spares it meanwhile
---@param id integer? nil when nothing was submitted: `message` and `info` say why and are returned
---@param message string?
---@param info table?
---@return any, string?, table?
local function await(owner, id, message, info)
	if not id then
		return nil, message, info
	end
	local loop = owner.loop
	-- With room for what `pump` will write: it must not fail for lack of memory.
	local waiter = { false, false, false, owner = owner, loop = loop, done = false, co = false }
	waiters[id] = waiter
	inflight = inflight + 1
	local co = loop.current()
	if co then
		local pump = pumps[loop] or newpump()
		pumps[loop], watching[pump] = pump, true
		loop.start(core, pump)
		waiter.co = co
		while not waiter.done do
			loop.park(waiter)
		end
	else
		local wait = loop.block or block
		while not waiter.done do
			wait(core, take)
		end
	end
	return waiter[1], waiter[2], waiter[3]
end

return await
