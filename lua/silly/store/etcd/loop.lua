-- Which loop parks and wakes the callers of a client.
--
-- A loop is a table of functions, all called on the Lua thread:
--   current()          the handle of the running coroutine if it may be suspended now, else nil: the call then blocks;
--                      nil and a text where it must not block either: the call ends with that, before it is submitted
--   park(waiter)       suspends the caller; may return early, the caller looks at `waiter.done`; returns nil, or why
--                      the call ends where that is false
--   wake(co, waiter)   resumes the caller that `current` named; called by `pump`
--   start(core, pump, give_up)  something is in flight: call `pump` whenever the core signals; may be called again and
--                      again, but where it returns true not before `pump` has returned 0. `give_up(waiter)` is for a
--                      caller that will never be resumed. One of the module's own gets `pending` too, which tells
--                      whether a caller is to go on, and returns "for good" where it need never be called again
--   block(core, pump, taken)  optional: what a caller does that may not be suspended; waits, with `taken` for
--                      `core:wait`, and pumps once
--   go(f, ...)         optional: runs `f` as a caller that may be suspended
--   exiting(pause)     optional: returns a text once the host is about to end, as nothing is watched then; with `pause`
--                      after a while, for a caller that tries it again and again

local coroutines = require "silly.store.etcd.loops.coroutines"

local loop = {}

local function loaded(name)
	return package.loaded[name]
end

-- The loops that are built in, in the order in which they are looked for, and how each is recognized.
local BUILTIN = {
	{ "openresty", function() return type(rawget(_G, "ngx")) == "table" and _G.ngx.get_phase end },
	{ "skynet", function() return loaded "skynet" or loaded "skynet.core" end },
	{ "silly", function() return loaded "silly.c" end },
	{ "tarantool", function() return rawget(_G, "_TARANTOOL") end },
	{ "neovim", function()
		local vim = rawget(_G, "vim")
		return type(vim) == "table" and vim.schedule and (vim.uv or vim.loop) -- no `schedule` in threads of its own
	end },
	{ "standalone", function()
		local task = coroutines.runtime()
		return task and task._active()
	end },
	{ "eco", function() return rawget(_G, "eco") or loaded "eco" end },
	{ "cqueues", function() return loaded "cqueues" end },
	{ "copas", function() return loaded "copas" end },
	{ "luv", function() return loaded "luv" or loaded "uv" end },
}

-- What others call them.
local ALSO = {
	nginx = "openresty", ngx = "openresty", resty = "openresty", vim = "neovim", nvim = "neovim", uv = "luv",
	libuv = "luv", lua = "standalone", plain = "standalone",
}

local NEEDED, OPTIONAL = { "current", "park", "wake", "start" }, { "block", "go", "exiting" }

local default

-- What went wrong, in one line and without the place.
local function reason(message)
	return (tostring(message):gsub("\n.*", ""):gsub("^.-%.lua:%d+: ", ""):gsub(":$", ""))
end

local function named(name)
	local names = {}
	for i, builtin in ipairs(BUILTIN) do
		names[i] = builtin[1]
		if names[i] == name then
			local module = "silly.store.etcd.loops." .. name
			local ok, found = pcall(require, module)
			if ok then
				return found
			end
			-- Lua 5.1 would not load it again, once its host is there.
			package.loaded[module] = nil
			return nil, ("'%s' cannot be used here: %s"):format(name, reason(found))
		end
	end
	table.sort(names)
	local also = ALSO[name:lower()]
	return nil, ("'%s' is unknown%s; there are: %s")
		:format(name, also and (" (did you mean '%s'?)"):format(also) or "", table.concat(names, ", "))
end

-- The name of the loop that this lua_State runs, and who says so; nil where none is to be seen yet.
local function detect()
	local name = os.getenv "ETCD_LUA_LOOP"
	if name and name ~= "" then
		return name, "ETCD_LUA_LOOP says so"
	end
	for _, builtin in ipairs(BUILTIN) do
		if builtin[2]() then
			return builtin[1], "found by itself; `etcd.use` takes another"
		end
	end
end

--- Why nothing may be watched, where the host is about to end.
---@async
---@param chosen silly.store.etcd.loop
---@param pause boolean?  return only after a while then
---@return string? problem
function loop.ending(chosen, pause)
	local exiting = chosen.exiting
	return exiting and exiting(pause)
end

--- The loop that `choice` stands for.
---@param choice string|silly.store.etcd.loop|nil  nil for the one in use
---@return silly.store.etcd.loop? loop
---@return string? problem
function loop.find(choice)
	if choice == nil then
		if not default then
			local name, why = detect()
			if not name then
				return named "standalone"
			end
			local found, problem = named(name)
			if not found then
				return nil, ("%s (%s)"):format(problem, why)
			end
			default = found
		end
		return default
	elseif type(choice) == "string" then
		return named(choice)
	elseif type(choice) ~= "table" then
		return nil, "must be a name or a table, got a " .. type(choice)
	end
	for _, name in ipairs(NEEDED) do
		if type(choice[name]) ~= "function" then
			return nil, ("lacks the function '%s'"):format(name)
		end
	end
	for _, name in ipairs(OPTIONAL) do
		if choice[name] ~= nil and type(choice[name]) ~= "function" then
			return nil, ("has a '%s' that is no function"):format(name)
		end
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
