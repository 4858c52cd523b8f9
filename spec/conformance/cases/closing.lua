-- Closing: whatever is under way ends, with the reason.

local function blocks(host)
	return not host.fork and "calls block here"
end

return {
	{ name = "a client with reads and calls under way", skip = blocks, run = function(t)
		local client, functions, ended = t.client(), {}, 0
		local stream = assert(client:watch { key = t.prefix })
		local idle = assert(client:keepalive(assert(client:grant { TTL = 60 }).ID))
		t.equal(60, assert(idle:read(60)).TTL)
		for i = 1, 10 do
			functions[i] = function()
				t.fails("closed", stream:read())
				ended = ended + 1
			end
			functions[10 + i] = function()
				-- Which of the two is a race, but it must be one.
				local answer, message, info = client:put { key = t.prefix .. i, value = "" }
				if not answer then
					t.fails("closed", answer, message, info)
				end
				ended = ended + 1
			end
		end
		functions[21] = function()
			t.fails("closed", idle:read())
			ended = ended + 1
		end
		functions[22] = function() client:close() end
		t.together(functions)
		t.equal(21, ended)
		t.fails("closed", client:get { key = t.prefix })
		t.fails("closed", stream:read())
	end },

	{ name = "a client, twice", run = function(t)
		local client = t.client()
		local stream = assert(client:watch { key = t.prefix })
		t.equal("silly.store.etcd.client: " .. t.endpoint, tostring(client))
		client:close()
		client:close()
		t.equal("silly.store.etcd.client: " .. t.endpoint .. " (closed)", tostring(client))
		t.fails("closed", client:put { key = t.prefix, value = "" })
		t.fails("closed", client:watch { key = t.prefix })
		t.fails("closed", client:grant { TTL = 60 })
		t.fails("closed", stream:read())
		stream:close()
	end },

	{ name = "a watch with a read under way", skip = blocks, run = function(t, client)
		for _, name in ipairs { "close", "cancel" } do
			local stream = assert(client:watch { key = t.prefix })
			t.together {
				function() t.fails("closed", stream:read()) end,
				function() t.fails("closed", stream:read(60)) end,
				function() stream[name](stream) end,
			}
			stream[name](stream)
			t.fails("closed", stream:read())
		end
		assert(client:put { key = t.prefix, value = "" })
	end },

	{ name = "a watch, by another watch's reader", skip = blocks, run = function(t, client)
		local first, second = assert(client:watch { key = t.prefix }), assert(client:watch { key = t.prefix .. 2 })
		t.together {
			function()
				assert(first:read(60))
				second:close()
				first:close()
			end,
			function() t.fails("closed", second:read()) end,
			function() assert(client:put { key = t.prefix, value = "" }) end,
		}
	end },
}
