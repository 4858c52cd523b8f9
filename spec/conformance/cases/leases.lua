-- Leases: keys that go with them, and renewal that goes on by itself.

return {
	{ name = "a revoked lease takes its keys along", run = function(t, client)
		local lease = assert(client:grant { TTL = 60 })
		t.equal(60, lease.TTL)
		for i = 1, 3 do
			assert(client:put { key = t.prefix .. i, value = "", lease = lease.ID })
		end
		local left = assert(client:ttl { ID = lease.ID, keys = true })
		t.equal({ lease.ID, 60, 3 }, { left.ID, left.grantedTTL, #left.keys })
		assert(client:revoke { ID = lease.ID })
		t.equal(0, assert(client:get { key = t.prefix, prefix = true }).count)
		t.fails("not_found", client:revoke { ID = lease.ID })
	end },

	{ name = "a lease is renewed by hand", run = function(t, client)
		local lease = assert(client:grant { TTL = 60, keepalive = false })
		local stream = assert(client:keepalive { ID = lease.ID })
		t.equal({ lease.ID, 60 }, { stream.ID, stream.TTL })
		t.equal(60, assert(stream:read()).TTL)
		assert(stream:write())
		t.equal(60, assert(stream:read()).TTL)
		t.fails("failed_precondition", stream:read())
		stream:close()
		t.fails("closed", stream:read())
		t.fails("closed", stream:write())
		assert(client:revoke { ID = lease.ID })
	end },

	{ name = "a lease is renewed in the background until it is lost", run = function(t, client)
		local lease = assert(client:grant { TTL = 3 })
		local stream = assert(client:keepalive(lease.ID))
		for _ = 1, 2 do
			t.equal(lease.ID, assert(stream:read(60)).ID)
		end
		local other = t.client()
		assert(other:revoke { ID = lease.ID })
		other:close()
		local answer, message, info
		repeat
			answer, message, info = stream:read(60)
		until not answer
		t.fails("lease_expired", answer, message, info)
		t.fails("lease_expired", client:put { key = t.prefix, value = "", lease = lease.ID })
	end },

	{ name = "many leases at once", run = function(t, client)
		local functions, ids = {}, {}
		for i = 1, 20 do
			functions[i] = function()
				local id = assert(client:grant { TTL = 60 }).ID
				assert(not ids[id])
				ids[id] = true
				assert(client:put { key = t.prefix .. i, value = "", lease = id })
				assert(client:revoke { ID = id })
			end
		end
		t.together(functions)
		t.equal(0, assert(client:get { key = t.prefix, prefix = true }).count)
	end },
}
