---@meta silly.task

-- Definitions of `silly.task`: tasks for plain Lua. A task's handle is its coroutine.

---@class silly.task
local task = {}

--- The running task, also from within a coroutine that it made for itself.
---@nodiscard
---@return thread? task nil outside of every task
function task.running() end

--- How many tasks are ready to run.
---@nodiscard
---@return integer
function task.readycount() end

--- What every task is doing, and where.
---@nodiscard
---@return table<thread, { status: "RUN"|"READY"|"WAIT"|"SLEEP", traceback: string }>
function task.inspect() end

--- Make `func` a task. It runs later, after the tasks that are ready already.
---@param func async fun(ud: any)
---@param ud? any handed to `func`
---@return thread task
function task.fork(func, ud) end

--- Suspend the running task until task.wakeup. Raises an error where no task can be suspended.
---@async
---@return any value what task.wakeup was given
function task.wait() end

--- Wake a task that is in task.wait; it runs after the tasks that are ready already.
--- Raises an error when the task is not waiting.
---@param co thread
---@param value? any returned by the task's task.wait
function task.wakeup(co, value) end

--- What a task is doing.
---@nodiscard
---@param co thread
---@return ("RUN"|"READY"|"WAIT"|"SLEEP")? status nil when it has ended or is no task
function task.status(co) end

--- Run `main` as a task, and everything that it or anyone before it forked, until all have ended.
--- An error in `main` ends the run at once and is raised, as text with its traceback; so does an interrupt (SIGINT).
--- The other tasks then end where they are, as those do that nothing can wake: their variables are closed.
---@param func? async fun(...: any) main
---@param ... any arguments for it
---@return boolean ended false when tasks were left that nothing can wake; stderr tells
function task.run(func, ...) end

return task
