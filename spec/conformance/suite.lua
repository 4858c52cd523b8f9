-- The conformance suite: what the client promises, wherever it runs. Written once, in the Lua that all hosts share.
--
-- In: a host (see below) and $ETCD_ENDPOINTS. Out: TAP on stdout, one line per case, and the number of failures.
-- $CONFORMANCE names a module that gets what the cases work with, and does its own with it: bench.overhead.
--
-- A host is a table:
--   name          for the report
--   run(main)     runs `main` as a coroutine of the host; returns once that, and all that it has started, have ended
--   fork(f)       runs `f` as one more coroutine; nil where calls block
--   event()       makes a table of two functions: `wait` suspends the caller until another calls `set`
--   leave()       ends `run`, or the process, at once, whatever is under way
--   nested        true where a call may be made in a coroutine that the caller has made for itself
--   pcall         optional: a pcall through which a caller can be suspended, where Lua's own is none
--   careless      true where the loop does not know whether Lua can yield
--   refuses       true where a call is refused whose caller cannot be suspended
--   anywhere      true where Lua can yield wherever it is
--   kill(f)       optional: runs `f` as one more coroutine, and ends it where it waits, from outside
--   inside        true where the suite is called in a coroutine of the host
--   cases         optional: further cases, of this host only
--   print(line)   optional: where lines go, when that is not stdout
--   endpoint      optional: the server, when the environment cannot be read

local TOPICS = { "calls", "integers", "concurrency", "watches", "records", "leases", "errors", "blocking",
	"closing", "collected" }

-- Can a coroutine be suspended inside of Lua's own pcall?
local function resumes()
	return coroutine.wrap(function() return (pcall(coroutine.yield, true)) end)()
end

-- Without any pcall an error ends the run.
local function unprotected(f, ...)
	f(...)
	return true
end

local function traced(f, ...)
	return xpcall(f, function(problem) return debug.traceback(tostring(problem), 2) end, ...)
end

local function same(a, b)
	if type(a) ~= "table" or type(b) ~= "table" then
		return a == b
	end
	for key, value in pairs(a) do
		if not same(value, b[key]) then
			return false
		end
	end
	for key in pairs(b) do
		if a[key] == nil then
			return false
		end
	end
	return true
end

local function show(value)
	if type(value) ~= "table" then
		return type(value) == "string" and ("%q"):format(value) or tostring(value)
	end
	local parts = {}
	for key, field in pairs(value) do
		parts[#parts + 1] = tostring(key) .. " = " .. show(field)
	end
	table.sort(parts)
	return "{ " .. table.concat(parts, ", ") .. " }"
end

-- What the cases work with.
local function toolbox(host, etcd, endpoint)
	local try = host.pcall == pcall and traced or host.pcall or unprotected
	local t = { host = host, endpoint = endpoint, etcd = etcd, try = try }

	--- Fails unless both are the same, deeply.
	function t.equal(expected, actual, what)
		if not same(expected, actual) then
			error(("%sexpected %s, got %s"):format(what and what .. ": " or "", show(expected), show(actual)), 2)
		end
	end

	--- Fails unless the results are those of a call that failed with this code.
	function t.fails(code, answer, message, info)
		if answer ~= nil or type(message) ~= "string" or type(info) ~= "table" or info.code ~= code then
			error(("expected the failure '%s', got %s, %s, %s"):format(code, show(answer), show(message), show(info)), 2)
		end
		return message, info
	end

	--- A client of the host's own loop.
	function t.client(conf)
		conf = conf or {}
		conf.endpoints = conf.endpoints or { endpoint }
		return etcd.newclient(conf)
	end

	--- Runs all functions at once, one after the other where calls block, and returns when all have ended.
	function t.together(functions)
		if not host.fork then
			for _, f in ipairs(functions) do
				f()
			end
			return
		end
		local left, event, problem = #functions, host.event(), nil
		for _, f in ipairs(functions) do
			host.fork(function()
				local ok, why = try(f)
				problem = problem or not ok and why
				left = left - 1
				if left == 0 then
					event.set()
				end
			end)
		end
		while left > 0 do
			event.wait()
		end
		if problem then
			error(problem, 0)
		end
	end

	return t
end

-- Lets a call that blocks take the last answers, another's among them: the host's loop must end all the same.
local function drained(host, t)
	if not host.fork or host.careless or host.refuses then
		return
	end
	local client = t.client()
	host.fork(function() assert(client:get { key = "drained" }) end)
	host.fork(function()
		table.sort({ 2, 1 }, function(a, b)
			assert(client:get { key = "drained" })
			return a < b
		end)
	end)
end

-- Leaves with as much under way as there can be.
local function ending(host, t)
	local client = t.client()
	local stream = assert(client:watch { key = "never/", prefix = true })
	assert(client:grant { TTL = 60 })
	if host.fork then
		local event, under = host.event(), 0
		for _ = 1, 20 do
			host.fork(function() stream:read() end)
			host.fork(function()
				while client:get { key = "ending" } do
					under = under + 1
					if under == 20 then
						event.set()
					end
				end
			end)
		end
		event.wait()
	end
	host.leave()
end

--- Runs the suite on a host.
---@param host table
---@return integer failures
return function(host)
	host.print = host.print or function(line) io.stdout:write(line, "\n") io.stdout:flush() end
	local print = host.print
	local etcd = require "silly.store.etcd"
	host.pcall = host.pcall or resumes() and pcall or nil
	local t = toolbox(host, etcd, host.endpoint or assert(os.getenv "ETCD_ENDPOINTS", "ETCD_ENDPOINTS is not set"))
	local other = os.getenv "CONFORMANCE"
	if other then
		return require(other)(t)
	end
	local root = ("conformance/%s/%s/"):format(host.name, (tostring(t):gsub("^table: ", "")))
	local number, failed, skipped = 0, 0, 0

	local function perform(topic, case)
		number = number + 1
		local line = ("%d - %s: %s"):format(number, topic, case.name)
		if case.skip and case.skip(host) then
			skipped = skipped + 1
			print("ok " .. line .. " # SKIP " .. case.skip(host))
			return
		end
		t.prefix = root .. number .. "/"
		local client = t.client()
		local ok, problem = t.try(case.run, t, client)
		client:close()
		failed = failed + (ok and 0 or 1)
		print((ok and "ok " or "not ok ") .. line)
		if not ok then
			print("# " .. tostring(problem):gsub("\n", "\n# "))
		end
	end

	local function topic(name, cases, outside)
		for _, case in ipairs(cases) do
			if (case.outside or false) == outside then
				perform(name, case)
			end
		end
	end

	local function all(outside)
		for _, name in ipairs(TOPICS) do
			topic(name, require("spec.conformance.cases." .. name), outside)
		end
		topic(host.name, host.cases or {}, outside)
	end

	print("# " .. host.name .. " on " .. (rawget(_G, "jit") and _G.jit.version or _VERSION))
	all(true)
	local ended = false
	host.run(function()
		all(false)
		assert(t.client():delete { key = root, prefix = true })
		ended = true
	end)
	host.run(function() drained(host, t) end)
	if not ended then
		failed = failed + 1
		print "# the host's loop ended too early"
	end
	print("1.." .. number)
	print(("%d passed, %d failed, %d skipped"):format(number - failed - skipped, failed, skipped))
	if host.leave and failed == 0 then
		host.run(function() ending(host, t) end)
	end
	return failed
end
