-- Which loop parks and wakes the callers of a client.
--
-- A loop is a table of functions, all called on the Lua thread:
--   current()          the handle of the running coroutine if it may be suspended now, else nil: the call then blocks
--   park(waiter)       suspends the caller; may return early, the caller looks at `waiter.done`
--   wake(co, waiter)   resumes the caller that `current` named; called by `pump`
--   start(core, pump)  something is in flight: call `pump` whenever the core signals; may be called again and again
--   block(core, pump)  optional: what a caller does that may not be suspended; waits and pumps once

---@class silly.store.etcd.loop
---@field current fun(): any
---@field park fun(waiter: table)
---@field wake fun(co: any, waiter: table)
---@field start fun(core: userdata, pump: fun(): integer)
---@field block? fun(core: userdata, pump: fun(): integer)

local loop = {}

local BUILTIN = {
	standalone = "silly.store.etcd.loops.standalone",
}

local NEEDED = { "current", "park", "wake", "start" }

local default

--- The loop that `choice` stands for.
---@param choice string|silly.store.etcd.loop|nil  nil for the one in use
---@return silly.store.etcd.loop? loop
---@return string? problem
function loop.find(choice)
	if choice == nil then
		default = default or require(BUILTIN.standalone)
		return default
	elseif type(choice) == "string" then
		local module = BUILTIN[choice]
		if module then
			return (require(module))
		end
		local names = {}
		for name in pairs(BUILTIN) do
			names[#names + 1] = name
		end
		table.sort(names)
		return nil, ("'%s' is unknown; there are: %s"):format(choice, table.concat(names, ", "))
	elseif type(choice) ~= "table" then
		return nil, "must be a name or a table, got a " .. type(choice)
	end
	for _, name in ipairs(NEEDED) do
		if type(choice[name]) ~= "function" then
			return nil, ("lacks the function '%s'"):format(name)
		end
	end
	if choice.block ~= nil and type(choice.block) ~= "function" then
		return nil, "has a 'block' that is no function"
	end
	return choice
end

--- Makes `choice` the loop of later clients.
---@param choice string|silly.store.etcd.loop
---@return string? problem
function loop.use(choice)
	if choice == nil then
		return "must be a name or a table, got nil"
	end
	local found, problem = loop.find(choice)
	default = found or default
	return problem
end

return loop
