-- Loops: where a call parks its caller and where it blocks, and loops of a user's own.
-- In: calls from the main chunk, from tasks, from coroutines and from where Lua cannot yield. Out: the same answers
-- everywhere, and the order in which tasks went on.

local silly = require "silly"
local task = require "silly.task"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local client, prefix, written

before_each(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
	prefix = server.prefix()
	for i = 1, 3 do
		written = assert(client:put { key = prefix .. i, value = tostring(i) }).header.revision
	end
end)

after_each(function()
	client:close()
	etcd.use "standalone"
end)

-- The value under a name.
local function get(name)
	return assert(client:get { key = prefix .. name }).kvs[1].value
end

-- Sort the three names downwards; every comparison asks the server.
local function sorted()
	local names = { 2, 1, 3 }
	table.sort(names, function(a, b) return get(a) > get(b) end)
	return names
end

-- Run a module whose loader asks the server.
local function required()
	local name = prefix .. "module"
	package.preload[name] = function() return get(3) end
	local value = require(name)
	package.preload[name], package.loaded[name] = nil, nil
	return value
end

describe("a call blocks and returns its answer", function()
	it("in the main chunk", function()
		assert.is_true(select(2, coroutine.running()))
		assert.are.equal("1", get(1))
		local answer, message, info = client:put { key = "" , value = "" }
		assert.is_nil(answer)
		assert.are.equal("put: invalid_argument: etcdserver: key is not provided (" .. server.endpoint() .. ")", message)
		assert.are.equal("invalid_argument", info.code)
		local stream <close> = assert(client:watch { key = prefix .. 3, revision = written })
		assert.are.equal("3", assert(stream:read(30)).events[1].kv.value)
	end)

	it("in a script that knows of no runtime", function()
		local status, output = server.sh(([[${LUA:-lua5.4} -e '
			package.path, package.cpath = %q, %q
			local client = require "silly.store.etcd".newclient { endpoints = { %q } }
			print(client:get { key = %q }.kvs[1].value)
			for name in pairs(package.loaded) do
				assert(not name:find "^silly" or name:find "^silly%%.store%%.etcd", name)
			end
		']]):format(package.path, package.cpath, server.endpoint(), prefix .. 1))
		assert.are.equal("1\n", output)
		assert.are.equal(0, status)
	end)

	it("in a coroutine that is no task", function()
		local co = coroutine.create(function()
			local stream <close> = assert(client:watch { key = prefix .. 3, revision = written })
			return get(2) .. assert(stream:read(30)).events[1].kv.value
		end)
		assert.are.same({ true, "23" }, { coroutine.resume(co) })
		assert.are.equal("dead", coroutine.status(co))
	end)

	it("where Lua cannot yield", function()
		assert.are.same({ 3, 2, 1 }, sorted())
		assert.are.equal("3", required())
		assert.are.equal("1-2-3-", (("123"):gsub(".", function(name) return get(name) .. "-" end)))
	end)

	it("in a task where Lua cannot yield, and in a coroutine of a task", function()
		local seen = {}
		silly.run(function()
			task.fork(function() seen[1] = sorted() end)
			task.fork(function() seen[2] = required() end)
			task.fork(function() seen[3] = coroutine.wrap(function() return get(2) end)() end)
			-- What these wait for may come while another blocks.
			task.fork(function() seen[4] = get(1) end)
			task.fork(function() seen[5] = get(2) .. get(3) end)
		end)
		assert.are.same({ { 3, 2, 1 }, "3", "2", "1", "23" }, seen)
	end)
end)

describe("a call in a task", function()
	it("parks the task, and others run meanwhile", function()
		local seen = {}
		local function note(what) seen[#seen + 1] = what end
		silly.run(function()
			task.fork(function()
				note "asks"
				note(get(1))
			end)
			task.fork(function()
				for _ = 1, 3 do
					note "runs"
				end
			end)
		end)
		assert.are.same({ "asks", "runs", "runs", "runs", "1" }, seen)
	end)

	it("P7: parks in pcall, iterators and metamethods too", function()
		for name, call in pairs {
			pcall = function() return select(2, pcall(get, 1)) end,
			iterator = function()
				local left, value = 1, nil
				for found in function() left = left - 1 return left == 0 and get(1) or nil end do
					value = found
				end
				return value
			end,
			metamethod = function() return setmetatable({}, { __index = function(_, key) return get(key) end })[1] end,
		} do
			local seen = {}
			local function note(what) seen[#seen + 1] = what end
			silly.run(function()
				task.fork(function() note(call()) end)
				task.fork(function() note "runs" end)
			end)
			assert.are.same({ "runs", "1" }, seen, name)
		end
	end)

	it("parks a reader of a watch until there is something to read", function()
		local seen = {}
		silly.run(function()
			local stream <close> = assert(client:watch { key = prefix .. 1 })
			task.fork(function()
				assert(client:put { key = prefix .. 1, value = "new" })
				seen[#seen + 1] = "put"
			end)
			seen[#seen + 1] = "reads"
			local value = assert(stream:read(30)).events[1].kv.value
			assert.are.equal("new", value)
		end)
		assert.are.same({ "reads", "put" }, seen)
	end)
end)

describe("a loop of a user's own", function()
	local loop, log, ready

	-- The smallest loop there is: coroutines in a queue. `log` counts the calls of its functions.
	before_each(function()
		log, ready = { current = 0, park = 0, wake = 0, start = 0 }, {}
		local handles = setmetatable({}, { __mode = "k" })
		loop = {}

		function loop.current()
			log.current = log.current + 1
			local co = coroutine.running()
			if coroutine.isyieldable() then
				handles[co] = handles[co] or { co = co }
				return handles[co]
			end
		end

		function loop.park(waiter)
			log.park = log.park + 1
			assert.is_false(waiter.done)
			coroutine.yield()
		end

		function loop.wake(handle, waiter)
			log.wake = log.wake + 1
			assert.is_true(waiter.done)
			ready[#ready + 1] = handle.co
		end

		function loop.start(core, pump)
			log.start = log.start + 1
			loop.core, loop.pump = core, pump
		end
	end)

	-- Run functions as coroutines under the loop until all have ended; each gets a slot of the list that this returns.
	local function run(funcs)
		local results, left = {}, #funcs
		for i, func in ipairs(funcs) do
			ready[#ready + 1] = coroutine.create(function()
				results[i] = func()
				left = left - 1
			end)
		end
		while left > 0 do
			local co = table.remove(ready, 1)
			if co then
				assert(coroutine.resume(co))
			elseif loop.pump() > 0 and not ready[1] then
				loop.core:wait()
			end
		end
		return results
	end

	local function own(conf)
		conf = conf or {}
		conf.endpoints = conf.endpoints or { server.endpoint() }
		return etcd.newclient(conf)
	end

	it("parks and wakes the callers of a client that was made with it", function()
		client:close()
		client = own { loop = loop }
		assert.are.same({ "1", "23" }, run { function() return get(1) end, function() return get(2) .. get(3) end })
		assert.are.equal(3, log.start)
		assert.are.equal(3, log.park)
		assert.are.equal(3, log.wake)
	end)

	it("serves watches and leases", function()
		client:close()
		client = own { loop = loop }
		local stream = assert(client:watch { key = prefix .. "w" })
		local function reader()
			return assert(stream:read(30)).events[1].kv.value
		end
		local function writer()
			local lease = assert(client:grant { TTL = 60 })
			assert(client:put { key = prefix .. "w", value = "seen", lease = lease.ID })
			return assert(client:keepalive { ID = lease.ID }).TTL
		end
		assert.are.same({ "seen", 60 }, run { reader, writer })
	end)

	it("may end a coroutine that reads, and no event is lost with it", function()
		client:close()
		client = own { loop = loop }
		local wake = loop.wake
		function loop.wake(handle, waiter)
			if coroutine.status(handle.co) ~= "dead" then
				wake(handle, waiter)
			end
		end
		local stream = assert(client:watch { key = prefix .. "w" })
		local function reader()
			return assert(stream:read(30)).events[1].kv.value
		end
		local ended = coroutine.create(reader)
		assert(coroutine.resume(ended))
		assert(coroutine.close(ended))
		local function writer()
			assert(client:put { key = prefix .. "w", value = "seen" })
		end
		assert.are.same({ "seen" }, run { reader, writer })
	end)

	it("may come back from park too early", function()
		client:close()
		client = own { loop = loop }
		local park = loop.park
		local early = 0
		function loop.park(waiter)
			if early < 3 then
				early = early + 1
			else
				park(waiter)
			end
		end
		assert.are.same({ "1" }, run { function() return get(1) end })
		assert.are.equal(3, early)
		assert.are.equal(1, log.park)
	end)

	it("P7: may forget a coroutine whose call is under way: the collector takes it once that is over", function()
		client:close()
		client = own { loop = loop }
		local forgotten = setmetatable({}, { __mode = "k" })
		for i = 1, 3 do
			local co = coroutine.create(function() get(i) end)
			forgotten[co] = true
			assert(coroutine.resume(co))
		end
		local wake = loop.wake
		function loop.wake() end
		while loop.pump() > 0 do
			loop.core:wait()
		end
		collectgarbage()
		collectgarbage()
		assert.is_nil(next(forgotten))
		loop.wake = wake
		assert.are.same({ "1" }, run { function() return get(1) end })
	end)

	it("P7: gets an error of a coroutine that it has resumed, and the others lose nothing by it", function()
		client:close()
		client = own { loop = loop }
		function loop.wake(handle)
			assert(coroutine.resume(handle.co))
		end
		local ended, raised = {}, 0
		for i = 1, 9 do
			coroutine.wrap(function()
				ended[i] = get(i % 3 + 1)
				assert(i % 3 ~= 0, "on purpose")
			end)()
		end
		local left
		repeat
			local ok, result = pcall(loop.pump)
			if ok then
				left = result
			else
				assert.matches("on purpose", result)
				raised = raised + 1
			end
			loop.core:wait(left ~= 0 and 0.01 or 0)
		until left == 0
		assert.are.equal(3, raised)
		assert.are.same({ "2", "3", "1", "2", "3", "1", "2", "3", "1" }, ended)
	end)

	it("learns from pump how many operations are under way", function()
		client:close()
		client = own { loop = loop }
		local streams = {}
		for i = 1, 3 do
			streams[i] = assert(client:watch { key = prefix .. i })
			coroutine.wrap(function() streams[i]:read() end)()
		end
		assert.are.equal(3, loop.pump())
		for i = 3, 1, -1 do
			streams[i]:close()
			repeat
				loop.core:wait(30)
			until loop.pump() < i
			assert.are.equal(i - 1, loop.pump())
		end
	end)

	it("learns from pump that nothing is under way, also where another loop took the last result", function()
		client:close()
		local core = require "silly.store.etcd.core"
		local function signalled()
			local info <close> = assert(io.open("/proc/self/fdinfo/" .. core:fd()))
			return not info:read("a"):find "eventfd%-count:%s+0\n"
		end
		local loops, clients = {}, {}
		for i = 1, 3 do
			loops[i] = setmetatable({ start = function(_, pump) loops[i].pump = pump end }, { __index = loop })
			clients[i] = own { loop = loops[i] }
			local stream = assert(clients[i]:watch { key = prefix .. i })
			coroutine.wrap(function() stream:read() end)()
		end
		for i = 1, 3 do
			clients[i]:close()
		end
		while loops[1].pump() > 0 do
			core:wait()
		end
		for i = 2, 3 do
			assert.is_true(signalled())
			assert.are.equal(0, loops[i].pump())
		end
		assert.is_false(signalled())
	end)

	it("does not park where it has no current caller: the call blocks", function()
		client:close()
		client = own { loop = loop }
		assert.are.equal("1", get(1))
		assert.are.same({ { 3, 2, 1 } }, run { sorted })
		assert.are.equal(0, log.start + log.park + log.wake)
	end)

	it("may refuse a call, before anything is sent", function()
		client:close()
		client = own { loop = loop }
		local stream = assert(client:watch { key = prefix .. 3, revision = written })
		assert(stream:read(30))
		local current = loop.current
		function loop.current() return nil, "nothing can wait here" end
		local function refused(name, answer, message, info)
			assert.is_nil(answer)
			assert.are.equal(name .. ": failed_precondition: nothing can wait here", message)
			assert.are.same({ code = "failed_precondition", applied = "no" }, info)
		end
		refused("put", client:put { key = prefix .. 1, value = "new" })
		refused("watch", client:watch { key = prefix })
		refused("read", stream:read())
		loop.current = current
		assert.are.same({ "1" }, run { function() return get(1) end })
		assert.are.equal(0, loop.pump())
	end)

	it("may give up a caller that has gone", function()
		client:close()
		client = own { loop = loop }
		local stream = assert(client:watch { key = prefix .. "w" })
		local give_up, parked
		local start, park = loop.start, loop.park
		function loop.start(core, pump, ...)
			start(core, pump)
			give_up = ...
		end
		function loop.park(waiter)
			parked = waiter
			park(waiter)
		end
		local co = coroutine.create(function() stream:read() end)
		assert(coroutine.resume(co))
		assert.are.equal(1, loop.pump())
		give_up(parked)
		assert.are.equal(0, loop.pump())
	end)

	it("may fail to start, or to park: nobody waits for the answer then", function()
		client:close()
		client = own { loop = loop }
		local stream = assert(client:watch { key = prefix .. "w" })
		assert.are.equal("1", run { function() return get(1) end }[1])
		for _, name in ipairs { "start", "park" } do
			local works = loop[name]
			loop[name] = function()
				loop[name] = works
				error(name .. " fails", 0)
			end
			local co = coroutine.create(function() stream:read() end)
			assert.are.same({ false, name .. " fails" }, { coroutine.resume(co) })
			coroutine.close(co)
			assert.are.equal(0, loop.pump())
			assert.are.same({ "2" }, run { function() return get(2) end })
		end
	end)

	it("may have its own way to block", function()
		client:close()
		client = own { loop = loop }
		local blocked = 0
		function loop.block(core, pump)
			blocked = blocked + 1
			core:wait()
			assert.are.equal("number", type(pump()))
		end
		assert.are.equal("1", get(1))
		assert.is_true(blocked > 0)
		blocked = 0
		assert.are.same({ "2" }, run { function() return get(2) end })
		assert.are.equal(0, blocked)
	end)

	it("n6: may end a call that blocks", function()
		client:close()
		client = own { loop = loop }
		local stream = assert(client:watch { key = prefix })
		function loop.block()
			return "enough"
		end
		local answer, message, info = client:get { key = prefix .. 1 }
		assert.are.same({ nil, "get: cancelled: enough", { code = "cancelled", applied = "maybe" } },
			{ answer, message, info })
		assert.are.same({ "cancelled", "no" }, { select(3, stream:read()).code, select(3, stream:read()).applied })
		loop.block = nil
		assert(client:put { key = prefix, value = "v" })
		assert.are.equal("v", stream:read().events[1].kv.value)
	end)

	it("n6: runs what etcd.go is given, if it can", function()
		etcd.use(loop)
		assert.error_matches(function() etcd.go(print) end, "go: the loop lacks the function 'go'")
		local seen
		function loop.go(...)
			seen = { ... }
		end
		etcd.go(print, 1, 2)
		assert.are.same({ print, 1, 2 }, seen)
	end)

	it("becomes the loop of later clients by etcd.use", function()
		etcd.use(loop)
		local earlier = client
		client = own()
		assert.are.same({ "1" }, run { function() return get(1) end })
		assert.are.equal(1, log.park)
		client:close()
		client = own { loop = "standalone" }
		assert.are.same({ "2" }, run { function() return get(2) end })
		client:close()
		client = earlier
		assert.are.same({ "3" }, run { function() return get(3) end })
		assert.are.equal(1, log.park)
		client:close()
		etcd.use "standalone"
		client = own()
		assert.are.same({ "1" }, run { function() return get(1) end })
		assert.are.equal(1, log.park)
	end)
end)

describe("etcd.go", function()
	it("n6: forks a task, whose failure is its own", function()
		local seen = {}
		silly.run(function()
			etcd.go(function(...) seen[1] = { select("#", ...), get(1), ... } end, "a", nil)
			etcd.go(function() seen[2] = get(2) end)
			seen[3] = "first"
		end)
		assert.are.same({ { 2, "1", "a" }, "2", "first" }, seen)
	end)

	it("n6: runs at once in a script that knows of no runtime", function()
		local status, output = server.sh(([[${LUA:-lua5.4} -e '
			package.path, package.cpath = %q, %q
			local etcd = require "silly.store.etcd"
			local client = etcd.newclient { endpoints = { %q } }
			etcd.go(function(key)
				print(client:get { key = key }.kvs[1].value)
				error "boom"
			end, %q)
			print "goes on"
		' 2>&1]]):format(package.path, package.cpath, server.endpoint(), prefix .. 1))
		assert.matches("^1\n[^\n]*boom\nstack traceback:\n.*\ngoes on\n$", output)
		assert.are.equal(0, status)
	end)
end)

describe("the choice of a loop", function()
	local function assert_refused(problem, choice)
		local function newclient() etcd.newclient { endpoints = { server.endpoint() }, loop = choice } end
		assert.error_matches(newclient, "newclient: field 'loop' " .. problem)
		assert.error_matches(function() etcd.use(choice) end, "use: the loop " .. problem)
	end

	it("refuses an unknown name and lists those that there are", function()
		assert_refused("'stand' is unknown; there are: .*%f[%a]standalone%f[%A]", "stand")
		assert_refused("'' is unknown; there are: .*%f[%a]standalone%f[%A]", "")
	end)

	it("refuses what is neither a name nor a table", function()
		for _, choice in ipairs { false, 5, print } do
			assert_refused("must be a name or a table, got a " .. type(choice), choice)
		end
	end)

	it("must be made where etcd.use is called", function()
		assert.error_matches(function() etcd.use() end, "use: the loop must be a name or a table, got ")
	end)

	it("refuses a loop that lacks a function", function()
		for _, name in ipairs { "current", "park", "wake", "start" } do
			local loop = { current = print, park = print, wake = print, start = print }
			loop[name] = nil
			assert_refused("lacks the function '" .. name .. "'", loop)
			loop[name] = "print"
			assert_refused("lacks the function '" .. name .. "'", loop)
		end
	end)

	it("refuses a loop whose block or go is no function", function()
		for _, name in ipairs { "block", "go" } do
			local loop = { current = print, park = print, wake = print, start = print, [name] = 5 }
			assert_refused("has a '" .. name .. "' that is no function", loop)
		end
	end)

	it("points to the caller's line", function()
		local here = debug.getinfo(1, "S").short_src .. ":" .. debug.getinfo(1, "l").currentline + 1 .. ": "
		local _, message = pcall(function() etcd.use "nobody" end)
		assert.are.equal(here, message:sub(1, #here))
		here = debug.getinfo(1, "S").short_src .. ":" .. debug.getinfo(1, "l").currentline + 1 .. ": "
		_, message = pcall(function() etcd.go "nobody" end)
		assert.are.equal(here, message:sub(1, #here))
	end)

	it("stays as it was when it was refused", function()
		pcall(etcd.use, "nobody")
		pcall(etcd.use, {})
		client:close()
		client = etcd.newclient { endpoints = { server.endpoint() } }
		local seen
		silly.run(function()
			task.fork(function() seen = seen or "another ran" end)
			seen = get(1) == "1" and seen
		end)
		assert.are.equal("another ran", seen)
	end)
end)
