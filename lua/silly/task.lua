-- Tasks for plain Lua: coroutines, and the scheduler that runs them on the Lua thread.
-- In: functions to fork, and what wakes a task: other tasks, timers (silly.time), completed etcd operations.
-- Out: task handles, which are the coroutines themselves, and reports of failed tasks on stderr.
-- An error ends only the task that raised it; its value, of whatever type, is reported as text with a traceback.
-- A bare coroutine.yield in a task's own coroutine has no meaning here: it ends that task with an error.
-- A coroutine that a task makes for itself (a generator) belongs to the task, but must not wait or sleep.

require "silly.store.etcd"
local core = require "silly.store.etcd.core"

local cocreate, coresume, coyield = coroutine.create, coroutine.resume, coroutine.yield
local corunning, costatus = coroutine.running, coroutine.status
local coroutines = require "silly.store.etcd.loops.coroutines"
local standalone = require "silly.store.etcd.loops.standalone"
local isyieldable = coroutines.isyieldable
local outermost = require("silly.store.etcd.protect").outermost

---@class silly.task
---@field _standalone true internal: tells this runtime from the silly framework
local task = { _standalone = true }

---@class silly.task.record
---@field number integer counts the forks
---@field status "RUN"|"READY"|"WAIT"|"SLEEP"
---@field value any what the task gets when it runs next
---@field undo? fun() takes that back, where the task has ended before
---@field what any what it waits for, where only that wakes it
---@field abandon? fun(what: any) tells that it does not wait any more
---@field ended? fun() called once the task is over, failed or not

local PARK = {} -- the first value of a task's yield: no other yield can be mistaken for it
local STRUCK = {} -- a task that gets this value raises what the signal stands for
local SIGNALS = { [2] = "interrupted!", [15] = "terminated!" } -- as `lua` says it
local tasks = {} ---@type table<thread, silly.task.record>
local ready, head, tail = {}, 1, 0 -- a queue: ready[head] to ready[tail]
local forked, living = 0, 0 -- how many there have been, and how many of them have not ended
local active = false
local running ---@type thread?
local main ---@type thread? its failure ends the run
local catching = false -- does the process catch signals for this run?
local signal, struck ---@type integer?, integer? the one that was not raised yet, and the last that was

---@return number?
local function fire() end
local function disarm() return 0 end
local function pump() return 0 end
local function pending() return false end

-- All tasks. A table must not get new keys while it is traversed, and a finalizer may fork some whenever something is
-- made.
local function list()
	while true do
		local before, all = forked, {}
		for co in pairs(tasks) do
			all[#all + 1] = co
			if forked ~= before then
				break
			end
		end
		if forked == before then
			return all
		end
	end
end

--- The running task, also from within a coroutine that it made for itself.
---@nodiscard
---@return thread? task nil outside of every task
function task.running()
	return running
end

--- How many tasks are ready to run.
---@nodiscard
---@return integer
function task.readycount()
	return tail - head + 1
end

--- What every task is doing, and where.
---@nodiscard
---@return table<thread, { status: "RUN"|"READY"|"WAIT"|"SLEEP", traceback: string }>
function task.inspect()
	local all = {}
	for _, co in ipairs(list()) do
		local self = tasks[co]
		all[co] = self and { status = self.status, traceback = debug.traceback(co) }
	end
	return all
end

--- Internal: the running task, if it could be suspended right here.
---@return thread? task nil in the main chunk, in a nested coroutine and where Lua cannot yield
---@return string? problem
function task._inside()
	local co = corunning()
	if not running or co ~= running and outermost(co) ~= running then
		return nil
	end
	local able, problem = isyieldable()
	if able then
		return running
	end
	return nil, problem
end

--- Internal: like task._inside, for functions that have to suspend the task.
---@param name string the function for which an error is raised
---@return thread task
function task._owner(name)
	local co, problem = task._inside()
	return co or error(name .. ": " .. (problem or "can wait only inside a task, where its own coroutine may yield"), 3)
end

--- Internal: is there a run?
---@return boolean
function task._active()
	return active
end

--- Internal: put a suspended task at the end of the ready queue.
---@param co thread
---@param value any
---@param undo? fun()
function task._enqueue(co, value, undo)
	local self = tasks[co]
	self.status, self.value, self.undo, self.what = "READY", value, undo, nil
	tail = tail + 1
	ready[tail] = co
end

local function report(text)
	io.stderr:write("silly: ", text, "\n")
end

local function plural(count, one, many)
	return count == 1 and "1 task " .. one or count .. " tasks " .. many
end

-- At the end of the lua_State: were tasks forked for a run that never came?
local function remind()
	if active then
		return
	end
	local count = disarm()
	for _, co in ipairs(list()) do
		count = count + (costatus(co) == "dead" and 0 or 1)
	end
	if count > 0 then
		report(plural(count, "was", "were") .. " forked and never ran: call silly.run()")
	end
end

-- Something for which `finalize` is called at the end of the lua_State.
local function sentinel(finalize)
	local newproxy = rawget(_G, "newproxy")
	if newproxy then
		local proxy = newproxy(true)
		getmetatable(proxy).__gc = finalize
		return proxy
	end
	return setmetatable({}, { __gc = finalize })
end

local reminder

--- Make `func` a task. It runs later, after the tasks that are ready already.
---@param func async fun(ud: any)
---@param ud? any handed to `func`
---@return thread task
function task.fork(func, ud)
	if type(func) ~= "function" then
		error("task.fork: function expected, got " .. type(func), 2)
	end
	reminder = reminder or sentinel(remind)
	local co = cocreate(func)
	-- Before it is one of the tasks: making this may run a finalizer, and that a run, which ends them.
	local self = { number = 0, status = "READY" }
	forked, living = forked + 1, living + 1
	self.number = forked
	tasks[co] = self
	task._enqueue(co, ud)
	return co
end

--- Internal: call `ended` when a task is over, failed or not.
---@param co thread
---@param ended fun()
function task._ended(co, ended)
	tasks[co].ended = ended
end

--- Internal: suspend the running task under this status until it is enqueued again.
---@async
---@param status "WAIT"|"SLEEP"
---@param what any what it waits for, for task._wake
---@param abandon? fun(what: any) called before a signal is raised, and where the run ends
---@return any value what it was enqueued with
function task._park(status, what, abandon)
	local value = STRUCK
	if signal and running == main then
		struck, signal = signal, nil -- it came when main had been woken
	else
		value = coyield(PARK, status, what, abandon)
	end
	if value == STRUCK then
		if abandon then
			abandon(what)
		end
		error(SIGNALS[struck], 0)
	end
	return value
end

--- Internal: does the task wait for that, and lives?
---@param co thread
---@param what any
---@return boolean
function task._waits(co, what)
	local self = tasks[co]
	return self ~= nil and self.what == what and task.status(co) ~= nil
end

--- Internal: wake the task if it waits for that.
---@param co thread
---@param what any
---@param value any what the task's task._park returns
---@param undo? fun() called where the task is closed before that
---@return boolean woken
function task._wake(co, what, value, undo)
	local waits = task._waits(co, what)
	if waits then
		task._enqueue(co, value, undo)
	end
	return waits
end

--- Internal: the same, where nobody asks whether it was woken: whether it lives is seen when it is to run. Every call
--- of a client ends here.
---@param co thread
---@param what any
function task._ready(co, what)
	local self = tasks[co]
	if self and self.what == what then
		-- What task._enqueue does, without its call.
		self.status, self.what = "READY", nil
		tail = tail + 1
		ready[tail] = co
	end
end

--- Suspend the running task until task.wakeup. Raises an error where no task can be suspended.
---@async
---@return any value what task.wakeup was given
function task.wait()
	task._owner("task.wait")
	return (task._park("WAIT"))
end

--- Wake a task that is in task.wait; it runs after the tasks that are ready already.
--- Raises an error when the task is not waiting.
---@param co thread
---@param value? any returned by the task's task.wait
function task.wakeup(co, value)
	local status = task.status(co)
	if status ~= "WAIT" then
		error("task.wakeup: the task is not waiting (" .. (status or "ended") .. ")", 2)
	end
	task._enqueue(co, value)
end

--- Internal: from now on call `func` once a round; it wakes tasks.
---@param func fun(): integer, integer?  see await.lua
---@param is_pending fun(): boolean  will it wake some, now or later?
function task._poll(func, is_pending)
	pump, pending = func, is_pending
end

--- Internal: from now on call `func` once a round; it enqueues what is due and tells the seconds to the next timer.
---@param func fun(): number?
---@param clear fun(): integer  forgets all timers and tells how many of them would have run something
function task._clock(func, clear)
	fire, disarm = func, clear
end

-- LuaJIT's hooks are global, so that SIGINT may strike inside a task; elsewhere it strikes the scheduler itself.
local function interrupted(err)
	return type(err) == "string" and err:sub(-12) == "interrupted!"
end

-- Runs `close` on a task that is over, as that task: what it closes may ask for the running one.
local function closing(close, co, problem)
	running = co
	local failure = close(co, problem)
	running = nil
	return failure
end

-- Forgets a task that is over, and takes back what it was handed and has not got.
local function forget(co)
	local self = tasks[co] ---@type silly.task.record?  none where a variable of another task has ended this one
	tasks[co] = nil
	if self then
		living = living - 1
		if self.undo then
			self.undo()
		end
	end
end

-- The end of a task whose resume gave `ok` and `err`: close its variables, tell who waits for it, report a failure.
local function finish(co, self, ok, err)
	local failure ---@type string?
	if not ok then
		failure = closing(coroutines.bury, co, err)
	elseif costatus(co) ~= "dead" then
		failure = closing(coroutines.bury, co, "coroutine.yield outside of a coroutine that the task made itself")
	end
	forget(co)
	if self.ended then
		self.ended()
	end
	if failure then
		if co == main or not catching and interrupted(err) then
			error(failure, 0)
		end
		report(failure)
	end
end

-- The record of a task, unless it is over: somebody may have closed it.
local function alive(co)
	local self = tasks[co]
	if self and costatus(co) == "dead" then
		finish(co, self, true)
		return nil
	end
	return self
end

--- What a task is doing.
---@nodiscard
---@param co thread
---@return ("RUN"|"READY"|"WAIT"|"SLEEP")? status nil when it has ended or is no task
function task.status(co)
	local self = alive(co)
	return self and self.status
end

local function step(co)
	local self = tasks[co]
	if not self then
		return
	elseif costatus(co) == "dead" then -- as in `alive`
		finish(co, self, true)
		return
	end
	local value = self.value
	self.value, self.undo, self.status = nil, nil, "RUN"
	running = co
	local ok, mark, status, what, abandon = coresume(co, value)
	running = nil
	if mark == PARK then
		self.status, self.what, self.abandon = status, what, abandon
	else
		finish(co, self, ok, mark)
	end
end

-- What becomes ready during a round belongs to the next one: endless forking starves neither timers nor completions.
local function round()
	local last = tail
	while head <= last do
		local co = ready[head]
		ready[head] = nil
		head = head + 1
		step(co)
	end
	if head > tail then
		head, tail = 1, 0
	end
end

-- Is nothing left? Tasks that somebody has closed while they waited are ended first, which may begin something, as may
-- a finalizer that runs meanwhile.
local function over()
	for _, co in ipairs(list()) do
		alive(co)
	end
	return not fire() and (living == 0 or not pending()) and head > tail
end

-- The signal that came and was not raised yet.
local function come()
	signal = signal or catching and core:caught() or nil
	return signal
end

-- Has the signal that came, if one has, raised where main waits; where it waits next, if it has been woken meanwhile,
-- so that it gets what it was handed. Without main the signal ends the run.
local function strike()
	if not come() then
		return
	end
	local self = main and alive(main)
	if not main or not self then
		struck, signal = signal, nil
		error(SIGNALS[struck], 0)
	elseif self.status ~= "READY" then
		struck, signal = signal, nil
		task._enqueue(main, STRUCK)
	end
end

--- Internal: raise the signal that came, if one has, in a caller that has blocked. Main gets it too, later.
function task._strike()
	local came = come()
	if came then
		if running and running == main then
			signal, struck = nil, came
		end
		error(SIGNALS[came], 0)
	end
end

-- Runs `func` and everything that was forked to the end.
local function loop(func, ...)
	main = func and task.fork(coroutines.bind(func, ...))
	standalone.current() -- has it call task._poll
	local _, taken ---@type any, integer?
	while true do
		local pause = fire()
		-- First, as a round mostly ends with calls under way. It returns at once where some task has taken results since
		-- `pump` did.
		if head > tail then
			if pause or living > 0 and pending() then
				core:wait(pause, taken)
			elseif over() then
				return
			end
		end
		_, taken = pump()
		round()
		if catching then
			strike()
		end
	end
end

-- Ends all tasks that are left, in the order of their forks. Returns how many those were, and where the first waited.
local function close_all()
	local left = list()
	table.sort(left, function(a, b) return tasks[a].number < tasks[b].number end)
	local first = left[1] and debug.traceback(left[1], "")
	for _, co in ipairs(left) do
		local failure = closing(coroutines.close, co)
		local self = tasks[co]
		if self and self.abandon and self.what then
			self.abandon(self.what) -- before Lua 5.4 nothing else does
		end
		forget(co)
		if failure then
			report("while closing: " .. failure)
		end
	end
	ready, head, tail = {}, 1, 0
	disarm()
	return #left, first
end

-- Nothing is left that could wake the remaining tasks.
local function abandon()
	if living == 0 then
		return true
	end
	local count, first = close_all()
	if first then
		report(plural(count, "waits", "wait") .. " for ever, the first of them here:" .. first)
	end
	return not first
end

--- Run `main` as a task, and everything that it or anyone before it forked, until all have ended.
--- An error in `main` ends the run at once and is raised, as text with its traceback; so does an interrupt (SIGINT).
--- The other tasks then end where they are, as those do that nothing can wake: their variables are closed.
---@param func? async fun(...: any) main
---@param ... any arguments for it
---@return boolean ended false when tasks were left that nothing can wake; stderr tells
function task.run(func, ...)
	if active then
		error("silly.run: is running already", 2)
	end
	active = true
	local ok, err = pcall(loop, func, ...)
	running, main = nil, nil
	-- A finalizer's run must not end these tasks.
	local close = ok and abandon or close_all ---@type fun(): any
	local closed, ended = pcall(close)
	active, running = false, nil
	if not ok or not closed then
		error(not ok and err or ended, 0)
	end
	return ended --[[@as boolean]]
end

--- Internal: what bin/silly-run does with a script. SIGINT and SIGTERM are raised where main waits, so that all that is
--- to be closed is closed; once main has ended they end the run. A second one ends the process.
---@param func async fun(...: any) main
---@param ... any arguments for it
---@return integer status for os.exit: 0, 1 or, where a signal has ended the script, 128 and its number
---@return string? problem
function task._script(func, ...)
	core:catch()
	catching = true
	local ok, ended = pcall(task.run, func, ...)
	catching = false
	if ok then
		return ended and 0 or 1
	end
	return struck and 128 + struck or 1, ended
end

return task
