-- Submits an operation, and parks its caller until the results are there.
--
-- In: the method that submits it. Out: what it returns. The `pump` of each loop hands out the results of all operations
-- of the lua_State, whatever loop their callers run on.
--
-- While one caller blocks nobody else runs: results that come meanwhile are kept until a host calls `pump`.

local core = require "silly.store.etcd.core"
local failure = require "silly.store.etcd.failure"
local object = require "silly.store.etcd.object"
local protect = require "silly.store.etcd.protect"
local standalone = require "silly.store.etcd.loops.standalone"

local loadstring = rawget(_G, "loadstring") -- Lua 5.1's `load` takes no text

-- Only on Lua 5.1 is the coroutine to resume another than the one that waits.
local outermost = protect.pcall ~= pcall and protect.outermost

-- operation id -> its waiter, a list that starts with the results. src/lua/submit.rs makes those of simple calls, and
-- src/lua/take.rs writes the results and sets DONE.
local waiters = {}
local inflight = 0
-- How many of them nobody goes on for: those of a loop with `quiet`, see logger.lua.
local quiet = 0

-- The places in a waiter: has its operation completed; which that is; the coroutine to wake, false where the caller has
-- gone, or blocks; the object whose operation it is, which the collector spares meanwhile; the method; the next of the
-- lists below.
local DONE, ID, CO, OWNER, NAME, NEXT = 4, 5, 6, 7, 8, 9

-- What loops see of them.
local VISIBLE = { done = DONE, owner = OWNER, name = NAME }

local waiter_mt = {
	__index = function(waiter, name)
		local place = VISIBLE[name]
		return place and waiter[place]
	end,
}

local take = core:taker(waiters)
-- How many results had been taken ever when `take` last found none.
local known ---@type integer?

-- The waiters that are done and were not woken, since somebody blocked then. A list and no table, which might have to
-- grow when there is no memory.
local first, last ---@type table?, table

-- The waiter of the caller that blocks now; the next is that of the one in which a finalizer has made this call.
local blocking ---@type table?

-- How many operations are under way for which a loop may go on: not those of callers that block, as a finalizer that
-- keeps them waiting may be what runs the loop.
local function left()
	local count, waiter = inflight - quiet, blocking
	while waiter do
		if not waiter[DONE] then
			count = count - 1
		end
		waiter = waiter[NEXT]
	end
	return count
end

local function wake(waiter)
	local co = waiter[CO]
	if co then
		local loop = waiter[OWNER].loop
		if loop.quiet then
			quiet = quiet - 1
		end
		-- The caller may run right now, and forget the owner, or come here again.
		waiter[CO], waiter[OWNER] = false, false
		loop.wake(co, waiter)
	end
end

local function keep(waiter)
	if not waiter[CO] then
		return
	elseif first then
		last[NEXT] = waiter
	else
		first = waiter
	end
	last = waiter
end

-- Nobody may pump where callers block.
local function wake_quiet()
	local waiter = first
	first = nil
	while waiter do
		local following = waiter[NEXT]
		waiter[NEXT] = false
		if waiter[CO] and waiter[OWNER].loop.quiet then
			wake(waiter)
		else
			keep(waiter)
		end
		waiter = following
	end
end

local function wake_kept()
	while first do
		local waiter = first
		first = waiter[NEXT]
		wake(waiter)
	end
end

-- There is no waiter where an error, of memory or of a signal's hook, came between submitting and waiting.
local function finish(id, give, a, b, c)
	local waiter = waiters[id]
	if not waiter then
		-- Nobody gets what was made: it is not left to the collector, which may be long in coming.
		local native = type(a) == "table" and rawget(a, "native") or a
		if type(native) == "userdata" then
			object.close(native --[[@as { close: fun(self: any) }]])
		end
		return
	end
	waiters[id] = nil
	inflight = inflight - 1
	waiter[1], waiter[2], waiter[3], waiter[DONE] = a, b or false, c, true
	give(waiter)
end

-- Finishes what `take` leaves to others, by `give`. Says whether there was something.
local function finish_next(next_result, give)
	local id, a, b, c = next_result(core)
	if not id then
		return false
	elseif id > 0 then
		finish(id, give, a, b, c)
	else
		-- This is a forked child: what was under way up to this id is the parent's.
		local old = {}
		for waiting in pairs(waiters) do
			old[#old + 1] = waiting <= -id and waiting or nil
		end
		for _, waiting in ipairs(old) do
			finish(waiting, give, a, b, c)
		end
	end
	return true
end

-- Takes what has completed, and hands it out by `give`. Returns how many operations have not that somebody goes on for,
-- and how many results have been taken ever, where that is known.
local function drain(next_result, give)
	while true do
		local waiter, taken = take()
		if waiter then
			inflight = inflight - 1
			give(waiter)
		elseif waiter == nil or not finish_next(next_result, give) then
			known = taken
			return left(), taken
		end
	end
end

-- Is there somebody to go on, now or later?
local function pending()
	return first and true or left() > 0
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
-- Those whose loops need not be started again: until then, or for good where they do not watch.
local steady = setmetatable({}, { __mode = "k" })

-- Where the last result was taken, the loops that still watch must hear of it.
local function tell()
	if next(watching) and left() == 0 then
		core:poke()
	end
end

local function newpump()
	--- Hands out what has completed. Called by the loop, on the Lua thread.
	---@return integer inflight  operations that have not completed, without those whose callers block
	---@return integer? taken  results that have been taken ever, where that is known; for `core:wait`
	local function pump()
		local count, taken
		repeat
			if first then
				wake_kept()
			end
			count, taken = drain(affordable, wake)
		until not first
		-- Who has been told before must not tell others: two would do so for ever.
		if count == 0 and (watching[pump] or steady[pump]) then
			if watching[pump] then
				watching[pump], steady[pump] = nil, nil
			end
			tell()
		end
		return count, taken
	end
	return pump
end

-- The same for a caller that blocks, which tells the loops once it does so no longer: it would wake up by that.
local function take_and_keep()
	return drain(core.next, keep)
end

local function block(_, _, taken)
	core:wait(nil, taken)
	take_and_keep()
end

-- The caller has gone, or waits no longer: nobody takes its results.
local function give_up(waiter)
	waiter[CO] = false
	if not waiter[DONE] then
		local id = waiter[ID]
		waiters[id], waiter[OWNER], waiter[DONE] = nil, false, true
		inflight = inflight - 1
		core:giveup(id)
		tell()
	end
end

local function blocked(loop, waiter)
	local wait, ok, problem = loop.block or block, true, nil
	local taken = known -- before each look: a finalizer may take the result after that
	local outer = blocking
	waiter[NEXT], blocking = outer or false, waiter
	while ok and not waiter[DONE] and not problem do
		ok, problem = pcall(wait, core, take_and_keep, taken)
		taken = known
	end
	blocking = outer
	local done = waiter[DONE]
	give_up(waiter)
	wake_quiet()
	if first then
		core:poke() -- now, as waiting would have taken it for a response
	else
		tell()
	end
	if not ok then
		error(problem, 0)
	end
	return not done and problem
end

-- Waits until the waiter is done. Returns why the call ends, if it does so before that, and with which code. From Lua
-- 5.4 on a coroutine that is closed while it waits gives up too.
local closed = _VERSION >= "Lua 5.4"
local source = ([[
	local DONE = ...
	return function(loop, waiter)
		local guarded CLOSE = waiter
		local park, problem, code = loop.park, nil, nil
		repeat
			problem, code = park(waiter)
		until waiter[DONE] or problem
		return not waiter[DONE] and problem, code
	end
]]):gsub("CLOSE", closed and "<close>" or "")
local park = assert((loadstring or load)(source))(DONE)

if closed then
	waiter_mt.__close = give_up
elseif protect.pcall == pcall then
	-- One in which an error is raised does so everywhere.
	local unguarded = park
	function park(loop, waiter)
		local ok, problem, code = pcall(unguarded, loop, waiter)
		give_up(waiter)
		if not ok then
			error(problem, 0)
		end
		return problem, code
	end
else
	-- On Lua 5.1 a metamethod or a finalizer fails to suspend its coroutine, which goes on, and may come here again.
	local unguarded, waiting = park, setmetatable({}, { __mode = "k" })
	function park(loop, waiter)
		local co = waiter[CO]
		co = type(co) == "thread" and co or coroutine.running()
		if waiting[co] then
			give_up(waiting[co])
		end
		waiting[co] = waiter
		local problem, code = unguarded(loop, waiter)
		waiting[co] = nil
		give_up(waiter)
		return problem, code
	end
end

-- The loop that is being started: a finalizer may call the client meanwhile, and must not start it twice.
local starting ---@type silly.store.etcd.loop?

-- Has the loop call `pump`. Where it fails to, nothing would end the operation.
local function start(loop, waiter)
	local pump = pumps[loop] or newpump()
	pumps[loop], watching[pump] = pump, true
	if starting == loop then
		return
	end
	local outer = starting
	starting = loop
	local ok, lasts = pcall(loop.start, core, pump, give_up, pending)
	starting = outer
	if not ok then
		give_up(waiter)
		error(lasts, 0)
	elseif lasts == "for good" then
		watching[pump], steady[pump] = nil, true
	elseif lasts and watching[pump] then
		steady[pump] = true
	end
end

-- The runtime of plain Lua may run where no task has called a client, and what completes then must be handed out.
start(standalone, {})

-- What submits the simple calls of a client.
local function submitter(client)
	client.submit = client.native:submitter(waiters, waiter_mt)
	return client.submit
end

--- Submits an operation and waits for it.
---@async
---@param owner { loop: silly.store.etcd.loop, submit: function? }  the object whose operation it is; the collector
--- spares it meanwhile
---@param native userdata  its native half
---@param name string  of the method that submits the operation; messages start with it
---@param request any  the arguments of that method
---@param more any
---@param simple integer?  the place of the method in `core:simple()`; the owner is a client then
---@return any, string?, table?
local function await(owner, native, name, request, more, simple)
	local loop = owner.loop --[[@as silly.store.etcd.own.loop]]
	local co, problem = loop.current()
	local code
	if not co and problem then
		return failure(name, "failed_precondition", problem)
	end
	local waiter = simple and (owner.submit or submitter(owner))(owner, simple, name, request, more)
	if not waiter then
		-- With room for what `pump` will write: it must not fail for lack of memory. Before the operation is submitted,
		-- since making it may run finalizers, whose calls take all results that are there.
		waiter = setmetatable({ false, false, false, false, false, false, owner, name, false }, waiter_mt)
		local id, message, info = native[name](native, request, more)
		if not id then
			return nil, message, info
		end
		waiter[ID], waiters[id] = id, waiter
	end
	inflight = inflight + 1
	if not co then
		problem = blocked(loop, waiter)
	else
		if loop.quiet then
			quiet = quiet + 1
		elseif not steady[pumps[loop]] then
			start(loop, waiter)
		end
		waiter[CO] = outermost and outermost(co) or co
		if not waiter[DONE] then
			problem, code = park(loop, waiter)
		end
	end
	if problem then
		return failure(name, code or "cancelled", problem, (name == "read" or name == "watch") and "no" or "maybe")
	end
	if waiter[2] then
		return waiter[1], waiter[2], waiter[3]
	end
	return waiter[1], nil, nil
end

return await
