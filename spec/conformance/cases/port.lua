-- The case of hosts that read the core's port: they name it among their own.

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
}
