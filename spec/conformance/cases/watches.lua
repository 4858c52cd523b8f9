-- Watches: every event once, in order.

local function blocks(host)
	return not host.fork and "calls block here"
end

return {
	{ name = "a reader sees what a writer does, in order", run = function(t, client)
		local stream, seen = assert(client:watch { key = t.prefix, prefix = true, prev_kv = true }), {}
		t.together {
			function()
				for i = 1, 50 do
					assert(client:put { key = t.prefix .. "key", value = tostring(i) })
				end
				assert(client:delete { key = t.prefix .. "key" })
			end,
			function()
				while #seen < 51 do
					for _, event in ipairs(assert(stream:read(60)).events) do
						seen[#seen + 1] = event
					end
				end
			end,
		}
		for i = 1, 50 do
			local previous = seen[i].prev_kv
			t.equal({ "PUT", tostring(i), i }, { seen[i].type, seen[i].kv.value, seen[i].kv.version })
			t.equal(i > 1 and tostring(i - 1) or nil, previous and previous.value)
		end
		t.equal({ "DELETE", "50" }, { seen[51].type, seen[51].prev_kv.value })
		stream:close()
	end },

	{ name = "a read waits for what comes later", skip = blocks, run = function(t, client)
		local stream, seen = assert(client:watch { key = t.prefix }), {}
		t.together {
			function()
				seen[#seen + 1] = "reads"
				local value = assert(stream:read(60)).events[1].kv.value
				seen[#seen + 1] = value
			end,
			function()
				assert(client:get { key = t.prefix }) -- and the other has come to read
				seen[#seen + 1] = "puts"
				assert(client:put { key = t.prefix, value = "seen" })
			end,
		}
		t.equal({ "reads", "puts", "seen" }, seen)
	end },

	{ name = "the past is replayed", run = function(t, client)
		local first = assert(client:put { key = t.prefix, value = "1" }).header.revision
		assert(client:put { key = t.prefix, value = "2" })
		local stream, seen = assert(client:watch { key = t.prefix, revision = first }), {}
		while #seen < 2 do
			for _, event in ipairs(assert(stream:read(60)).events) do
				seen[#seen + 1] = event.kv.value
			end
		end
		t.equal({ "1", "2" }, seen)
		stream:close()
	end },

	{ name = "a read can be limited in time, and the watch lives on", run = function(t, client)
		local stream = assert(client:watch { key = t.prefix })
		local answer, message = stream:read(0)
		t.equal({ nil, "timeout" }, { answer, message })
		answer, message = stream:read(0.05)
		t.equal({ nil, "timeout" }, { answer, message })
		assert(client:put { key = t.prefix, value = "seen" })
		t.equal("seen", assert(stream:read(60)).events[1].kv.value)
		stream:close()
	end },

	{ name = "several readers share a watch, and each event goes to one", skip = blocks, run = function(t, client)
		local stream, seen, functions = assert(client:watch { key = t.prefix, prefix = true }), {}, {}
		local count = 0
		for i = 1, 5 do
			functions[i] = function()
				while true do
					local answer, message = stream:read()
					if not answer then
						assert(message:find("closed", 1, true), message)
						return
					end
					for _, event in ipairs(answer.events) do
						t.equal(nil, seen[event.kv.key])
						seen[event.kv.key] = true
						count = count + 1
					end
					if count == 30 then
						stream:close()
					end
				end
			end
		end
		functions[6] = function()
			for i = 1, 30 do
				assert(client:put { key = t.prefix .. i, value = "" })
			end
		end
		t.together(functions)
		t.equal(30, count)
	end },

	{ name = "a reader that is ended from outside gives up the watch", skip = function(host)
		return not host.kill and "nothing ends coroutines here"
	end, run = function(t, client)
		local function watch()
			local stream, seen = assert(client:watch { key = t.prefix }), {}
			t.host.kill(function()
				seen[1] = "reads"
				seen[2] = stream:read()
			end)
			assert(client:put { key = t.prefix, value = "" })
			assert(stream:read(60))
			t.equal({ "reads" }, seen)
			return setmetatable({ stream }, { __mode = "v" })
		end
		local kept = watch()
		collectgarbage()
		collectgarbage()
		t.equal(nil, kept[1])
	end },

	{ name = "many watches at once", run = function(t, client)
		local functions, streams = {}, {}
		for i = 1, 20 do
			streams[i] = assert(client:watch { key = t.prefix .. i })
			functions[i] = function()
				t.equal(t.prefix .. i, assert(streams[i]:read(60)).events[1].kv.key)
				streams[i]:close()
			end
		end
		table.insert(functions, 1, function()
			for i = 1, 20 do
				assert(client:put { key = t.prefix .. i, value = "" })
			end
		end)
		t.together(functions)
	end },

	{ name = "events are iterated", run = function(t, client)
		local stream, seen = assert(client:watch { key = t.prefix }), {}
		for i = 1, 3 do
			assert(client:put { key = t.prefix, value = tostring(i) })
		end
		-- Called by hand: on Lua 5.1 a `for` cannot be suspended.
		local next = stream:events()
		while #seen < 3 do
			seen[#seen + 1] = next().kv.value
		end
		stream:close()
		t.equal({ "1", "2", "3" }, seen)
		t.equal(nil, (next()))
	end },

	{ name = "a loop over events that is left loses nothing", run = function(t, client)
		local stream, puts = assert(client:watch { key = t.prefix, prefix = true }), {}
		for i = 1, 4 do
			puts[i] = { put = { key = t.prefix .. i, value = tostring(i) } }
		end
		assert(client:txn { success = puts })
		t.equal("1", stream:events()().kv.value)
		local next = stream:events()
		t.equal("2", next().kv.value)
		local rest = assert(stream:read(60)).events
		t.equal({ 2, "3", "4" }, { #rest, rest[1].kv.value, rest[2].kv.value })
		assert(client:txn { success = puts })
		t.equal("1", next().kv.value)
		stream:close()
		t.equal(nil, (next()))
		t.equal(nil, (stream:events()()))
		t.fails("closed", stream:read())
	end },

	{ name = "a loop over events raises why they end", run = function(t, client)
		local first = assert(client:put { key = t.prefix, value = "" }).header.revision
		local last = assert(client:put { key = t.prefix, value = "" }).header.revision
		assert(client:compact { revision = last })
		local stream = assert(client:watch { key = t.prefix, revision = first })
		local ok, problem = t.etcd.pcall(stream:events())
		t.equal(false, ok)
		assert(problem:find("watch: compacted: ", 1, true), problem)
		t.fails("compacted", stream:read())
	end },
}
