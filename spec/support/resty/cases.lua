-- What nginx does for spec/resty_spec.lua: runs the case that lies in its folder, and calls etcd in each phase.

local json = require "silly.encoding.json"

local ngx = ngx -- luacheck: ignore 113
local setfenv = setfenv -- luacheck: ignore 113 143

local cases = { phases = {} }

-- The object under test, for the server of the spec.
local function new(opts)
	local all = { http_host = "http://" .. os.getenv "ETCD_ENDPOINTS" }
	for name, value in pairs(opts or {}) do
		all[name] = value
	end
	return require "resty.etcd".new(all)
end

local function read(name)
	local file = assert(io.open(ngx.config.prefix() .. name))
	local text = file:read "*a"
	file:close()
	return text
end

-- The results as a list in JSON, with null for nil.
local function encoded(...)
	local results = { ... }
	for i = 1, select("#", ...) do
		if results[i] == nil then
			results[i] = json.null
		end
	end
	return assert(json.encode(results))
end

--- Runs case.lua, which sees `new`, `shared` and `arg`, and responds with what it returns.
function cases.run()
	local case = assert(loadstring(read "case.lua", "=case")) -- luacheck: ignore 113
	setfenv(case, setmetatable({ new = new, cases = cases, arg = json.decode(read "arguments.json") }, { __index = _G }))
	ngx.print(encoded(case()))
end

local function get(cli)
	local res, message = cli:get "phase"
	return res and res.status or message
end

--- Calls in a phase.
function cases.phase()
	cases.cli = cases.cli or new()
	cases.phases[ngx.get_phase()] = get(cases.cli)
	return ""
end

--- Calls in the master, and leaves the object to the workers.
function cases.master()
	cases.started = new { timeout = 2 }
	cases.phases.init = get(cases.started)
end

function cases.worker()
	cases.phases.init_worker = get(cases.started)
end

return cases
