-- Watches of silly.resty.etcd in nginx: their options, and every event once whatever happens to connections and
-- servers. In: cases that run in a worker, see spec/support/resty/worker.lua; an etcd that is killed. Out: what the
-- reader returns.

local etcd = require "silly.store.etcd"
local nginx = require "spec.support.nginx"
local server = require "spec.support.etcd"
local worker = require "spec.support.resty.worker"

local run, begin, finish, put = worker.run, worker.begin, worker.finish, worker.put
local test = worker.test(it, pending)

describe("silly.resty.etcd #hosts", function()
	lazy_setup(worker.setup)
	lazy_teardown(worker.teardown)
	before_each(worker.clear)

	describe("a watch", function()
		local NO_SOCKET = "missing: LuaSocket"

		-- Starts a proxy, see spec/support/cut.lua, and returns its port; nil where there is no LuaSocket.
		local function proxy(seconds, broken)
			if not pcall(require, "socket") then
				return nil
			end
			local target, port = worker.node.endpoint:match "%d+$", server.prepare().endpoint:match "%d+$"
			local command = "%s spec/support/cut.lua %s %s %g %d >/dev/null 2>&1 & echo $!"
			-- The first connection is the one that looks whether it is there.
			local _, pid = server.sh(command:format(os.getenv "LUA" or "lua5.4", port, target, seconds, broken + 1))
			finally(function() server.sh("kill " .. pid) end)
			nginx.await(function() return server.sh(("bash -c '</dev/tcp/127.0.0.1/%s'"):format(port)) == 0 end)
			return port
		end

		local function begun()
			nginx.await(function() return worker.client:get("begun").kvs[1] end)
		end

		test("says first that it was created, and at which revision", function()
			local before = put("k", "1")
			local created, revision = run [[
				local read = new { serializer = "raw" }:watch "k"
				local created = read()
				new():set("k", 2)
				return created, read().result.events[1].kv.mod_revision
			]]
			assert.is_true(created.result.created)
			assert.are.equal(tostring(before), created.result.header.revision)
			assert.are.equal(tostring(before + 1), revision)
		end)

		test("goes on after its reader has timed out", function()
			assert.are.same({ "timeout", "timeout", 7 }, run [[
				local read = new():watch("k", { timeout = 0.05 })
				read()
				local list = { select(2, read()), (select(2, read())) }
				new():set("k", 7)
				local chunk
				repeat
					chunk = read()
				until chunk
				list[3] = chunk.result.events[1].kv.value
				return list
			]])
		end)

		test("goes on after a read where nothing can wait", function()
			local refused, value = run [[
				local cli = new()
				local read = cli:watch "k"
				read()
				local refused
				table.sort({ 1, 2 }, function(a, b)
					refused = refused or select(2, read())
					return a < b
				end)
				cli:set("k", 7)
				return refused, read().result.events[1].kv.value
			]]
			assert.is_truthy(refused:find("nothing can wait in a finalizer or inside a C function", 1, true))
			assert.are.equal(7, value)
		end)

		test("waits for as long as the object says, where its options do not", function()
			assert.are.equal("timeout", run [[
				local read = new { timeout = 1 }:watch "k"
				read()
				return (select(2, read()))
			]])
		end)

		test("of one key sees that, of a directory what begins so, of an empty key the key \\0", function()
			assert.are.same({ "w", "w,w/1,wx", "\0", "\0,v,w,w/1,wx" }, run [[
				local cli, readers = new(), {}
				for i, method in ipairs { "watch", "watchdir", "watch", "watchdir" } do
					readers[i] = cli[method](cli, i < 3 and "w" or "")
					readers[i]()
				end
				for _, key in ipairs { "\0", "v", "w", "w/1", "wx", "end" } do
					cli:set(key, 1)
				end
				local seen = {}
				local function sees(read, last)
					local keys = {}
					while true do
						for _, event in ipairs(read().result.events) do
							if event.kv.key == "end" then
								return table.concat(keys, ",")
							end
							keys[#keys + 1] = event.kv.key
							if event.kv.key == last then
								return table.concat(keys, ",")
							end
						end
					end
				end
				return { sees(readers[1], "w"), sees(readers[2], "wx"), sees(readers[3], "\0"), sees(readers[4]) }
			]])
		end)

		test("leaves out what filters say, by number or name", function()
			assert.are.same({ { "DELETE" }, { "DELETE" }, { "PUT" } }, run [[
				local cli, seen = new(), {}
				for i, filters in ipairs { { 0 }, { "NOPUT" }, { 1 } } do
					local read = cli:watch("f", { filters = filters })
					read()
					cli:set("f", 1)
					cli:delete "f"
					seen[i] = { read().result.events[1].type or "PUT" }
				end
				return seen
			]])
		end)

		test("tells with progress_notify how far it is", function()
			local result = run [[
				local read = new():watch("k", { progress_notify = true, timeout = 20 })
				read()
				return read().result
			]]
			assert.is_nil(result.events)
			assert.are.equal("string", type(result.header.revision))
		end)

		test("ends by watchcancel, also for a reader that waits", function()
			assert.are.same({ 1, { "closed" }, "closed", "closed", "closed" }, run [[
				local cli = new()
				local read, message, handle = cli:watch("k", { need_cancel = true, timeout = 30 })
				assert(message == nil and type(handle) == "table")
				read()
				local waiting = ngx.thread.spawn(read)
				local done = cli:watchcancel(handle)
				local _, _, ending = ngx.thread.wait(waiting)
				return { done, { ending }, select(2, read()), select(2, cli:watchcancel(handle)), (select(2, read())) }
			]])
		end)

		test("has no handle without need_cancel", function()
			assert.are.equal(1, run [[return select("#", new():watch("k")) - 2]])
		end)

		test("is not begun where its revision is none", function()
			assert.are.same({ n = 2, nil, "failed to watch data, response code: 400" },
				table.pack(run [[return new():watch("k", { start_revision = "x" })]]))
		end)

		test("is read by lua-resty-etcd's gRPC functions too", function()
			assert.are.same({ 7, "timeout" }, run [[
				local cli = new()
				local stream = cli:create_grpc_watch_stream("g/", { prev_kv = true }, { timeout = 0.2 })
				cli:set("g/1", 7)
				local chunk
				repeat
					chunk = cli:read_grpc_watch_stream(stream)
				until chunk
				return { chunk.result.events[1].kv.value, (select(2, cli:read_grpc_watch_stream(stream))) }
			]])
		end)

		test("begins though connections break meanwhile", function()
			local port = proxy(1000, 2)
			if not port then
				return pending(NO_SOCKET)
			end
			assert.are.same({ true, nil }, { run([[
				local read = assert(new { http_host = "http://127.0.0.1:" .. arg.port, timeout = 30 }:watch "k")
				return read().result.created
			]], { port = port }) })
		end)

		test("sees each of 300 events once, over connections that are cut every 200 ms", function()
			local port = proxy(0.2, 0)
			if not port then
				return pending(NO_SOCKET)
			end
			local seen, resumed = run([[
				local direct = new()
				local through = new { http_host = "http://127.0.0.1:" .. arg.port, timeout = 30 }
				local read
				repeat
					read = through:watchdir("cut/", { timeout = 20 })
				until read
				read()
				local writer = ngx.thread.spawn(function()
					for i = 1, 300 do
						assert(direct:set("cut/" .. i % 7, i))
						ngx.sleep(0.01)
					end
				end)
				local seen = {}
				while seen[#seen] ~= 300 do
					for _, event in ipairs(assert(read()).result.events) do
						seen[#seen + 1] = event.kv.value
					end
				end
				ngx.thread.wait(writer)
				return seen, through.client:stats().watch_resumes_total
			]], { port = port })
			local expected = {}
			for i = 1, 300 do
				expected[i] = i
			end
			assert.are.same(expected, seen)
			assert.is_true(resumed >= 3, tostring(resumed))
		end)

		test("goes on after a server that was killed is back", function()
			local pipe = begin [[
				local read = new():watch("k", { timeout = 30 })
				read()
				new():set("begun", 1)
				local one = read().result.events[1].kv.value
				return { one, read().result.events[1].kv.value }
			]]
			begun()
			put("k", "1")
			worker.node:kill()
			worker.node:start()
			put("k", "2")
			assert.are.same({ 1, 2 }, finish(pipe))
		end)

		test("from the oldest revision that is left goes on there, though it is cut off before its first event", function()
			local first = put("k", "1")
			assert(worker.client:compact { revision = first })
			local pipe = begin([[
				local read = new():watch("other", { start_revision = arg.first, timeout = 30 })
				read()
				new():set("begun", 1)
				local result = read().result
				return result.canceled, result.events and result.events[1].kv.value
			]], { first = first })
			begun()
			for _ = 1, 3 do
				worker.node:kill()
				worker.node:start()
			end
			put("other", "2")
			assert.are.same({ n = 2, nil, 2 }, table.pack(finish(pipe)))
		end)

		test("that has missed what was compacted says so, once, as etcd does, and can begin again there", function()
			local pipe = begin [[
				local cli = new()
				local read = cli:watch("k", { timeout = 30 })
				read()
				cli:set("begun", 1)
				local last = read().result
				local none, ending = read()
				assert(none == nil)
				local again = cli:watch("k", { start_revision = last.compact_revision })
				again()
				return last, ending, again().result.events[1].kv.value
			]]
			begun()
			local left
			worker.node:cut(function(endpoint)
				local other <close> = etcd.newclient { endpoints = { endpoint } }
				assert(other:put { key = "k", value = "1" })
				left = assert(other:put { key = "k", value = "2" }).header.revision
				assert(other:compact { revision = left, physical = true })
			end)
			local last, ending, value = finish(pipe)
			assert.are.same({ true, tostring(left), "closed", 2 }, { last.canceled, last.compact_revision, ending, value })
			assert.is_nil(last.created)
		end)
	end)
end)
