-- The cases of hosts that read the core's port: they name them among their own.
--
-- In: `connections()`, how many the host holds, and `pause()`, which suspends the caller for a moment.

return function(connections, pause)
	return {
		name = "the loop's connection breaks",
		run = function(t, client)
			local stream = assert(client:watch { key = t.prefix })
			t.together {
				function() t.fails("timeout", stream:read(0.2)) end,
				-- A new port takes the place of the loop's.
				function() assert(require("silly.store.etcd.core"):port()) end,
			}
			stream:close()
		end,
	}, {
		name = "the loop's connection is closed while nothing is in flight",
		run = function(t, client)
			assert(client:get { key = t.prefix })
			local used, tries = connections(), 0
			while connections() == used do
				tries = tries + 1
				assert(tries < 1000, "it stays open")
				pause()
			end
			t.equal(used - 1, connections())
			assert(client:get { key = t.prefix })
			t.equal(used, connections())
		end,
	}
end
