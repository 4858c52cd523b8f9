-- Where a caller cannot be suspended the call blocks, and answers the same; some hosts refuse it.

-- A loop of the host's that cannot tell where Lua may not yield, or that lets nobody block.
local function cannot_block(host)
	return host.careless and "this loop cannot tell" or host.refuses and "the call is refused"
end

-- A host where no caller blocks while others could run.
local function never_blocks(host)
	return not host.fork and "calls block here" or host.anywhere and "no call blocks here" or cannot_block(host)
end

local function sorted(client, prefix)
	local names = { 2, 1, 3 }
	table.sort(names, function(a, b)
		local first, second = assert(client:get { key = prefix .. a }), assert(client:get { key = prefix .. b })
		return first.kvs[1].value > second.kvs[1].value
	end)
	return names
end

local function put(client, prefix)
	for i = 1, 3 do
		assert(client:put { key = prefix .. i, value = tostring(i) })
	end
end

return {
	{ name = "in the main chunk", outside = true, run = function(t, client)
		put(client, t.prefix)
		local stream = assert(client:watch { key = t.prefix .. 1 })
		t.equal({ nil, "timeout" }, { (stream:read(0.02)), (select(2, stream:read(0))) })
		assert(client:put { key = t.prefix .. 1, value = "new" })
		t.equal("new", assert(stream:read(60)).events[1].kv.value)
		stream:close()
		local lease = assert(client:grant { TTL = 60 })
		t.equal(60, assert(client:keepalive { ID = lease.ID }).TTL)
		assert(client:revoke { ID = lease.ID })
	end },

	{ name = "in the main chunk, inside table.sort", outside = true, skip = function(host)
		return host.inside and cannot_block(host)
	end, run = function(t, client)
		put(client, t.prefix)
		t.equal({ 3, 2, 1 }, sorted(client, t.prefix))
	end },

	{ name = "inside table.sort, gsub and require", skip = cannot_block, run = function(t, client)
		put(client, t.prefix)
		local function get(name)
			return assert(client:get { key = t.prefix .. name }).kvs[1].value
		end
		local name = t.prefix .. "module"
		package.preload[name] = function() return get(3) end
		t.together {
			function() t.equal({ 3, 2, 1 }, sorted(client, t.prefix)) end,
			function() t.equal("1-2-3-", (("123"):gsub(".", function(digit) return get(digit) .. "-" end))) end,
			function() t.equal("3", require(name)) end,
			-- What this waits for may come while another blocks.
			function() t.equal("123", get(1) .. get(2) .. get(3)) end,
		}
		package.preload[name], package.loaded[name] = nil, nil
	end },

	{ name = "and nobody else runs meanwhile", skip = never_blocks, run = function(t, client)
		put(client, t.prefix)
		local functions, inside, ended = {}, false, 0
		-- So many, that they must not nest.
		for i = 1, 300 do
			functions[i] = function()
				assert(client:get { key = t.prefix .. 1 })
				t.equal(false, inside, "inside of another's comparator")
				table.sort({ 2, 1 }, function(a, b)
					inside = true
					assert(client:get { key = t.prefix .. a })
					inside = false
					return a < b
				end)
				ended = ended + 1
			end
		end
		t.together(functions)
		t.equal(300, ended)
	end },

	{ name = "and a reader goes on afterwards", skip = never_blocks, run = function(t, client)
		put(client, t.prefix)
		local stream = assert(client:watch { key = t.prefix .. "read" })
		local seen = {}
		t.together {
			function()
				assert(stream:read(60))
				seen[#seen + 1] = "read"
				stream:close()
			end,
			function()
				table.sort({ 2, 1 }, function(a, b)
					assert(client:put { key = t.prefix .. "read", value = "" })
					-- What the reader waits for comes with these.
					for _ = 1, 5 do
						assert(client:get { key = t.prefix .. "read" })
					end
					return a < b
				end)
				seen[#seen + 1] = "sorted"
			end,
		}
		t.equal({ "sorted", "read" }, seen)
	end },

	{ name = "or is refused, before anything is sent", skip = function(host)
		return not host.refuses and "a call blocks here"
	end, run = function(t, client)
		table.sort({ 2, 1 }, function(a, b)
			local message, info = t.fails("failed_precondition", client:put { key = t.prefix, value = "" })
			t.equal("put: failed_precondition: ", message:sub(1, 26))
			t.equal("no", info.applied)
			return a < b
		end)
		t.equal(0, assert(client:get { key = t.prefix }).count)
	end },

	{ name = "in a coroutine of the caller's own", skip = function(host)
		return host.fork and not host.nested and "the yield would go to the wrong place"
	end, run = function(t, client)
		put(client, t.prefix)
		local value
		coroutine.wrap(function() value = assert(client:get { key = t.prefix .. 2 }).kvs[1].value end)()
		t.equal("2", value)
	end },

	{ name = "resumed by another than its loop, a call ends as cancelled", run = function(t, client)
		put(client, t.prefix)
		local answer, message, info
		local co = coroutine.create(function()
			answer, message, info = client:get { key = t.prefix .. 2 }
		end)
		for _ = 1, 3 do
			coroutine.resume(co)
		end
		if answer then
			return t.equal("2", answer.kvs[1].value)
		end
		t.fails("cancelled", answer, message, info)
		t.equal("maybe", info.applied)
	end },
}
