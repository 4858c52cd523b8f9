-- A wall clock that jumps by an hour, forward and back. In: endpoint, that of a server that does not answer, a key
-- prefix, the file that libfaketime reads. Out: an error unless leases, watches, deadlines and sleeps go on as ever.

local silly = require "silly"
local etcd = require "silly.store.etcd"

local endpoint, silent, prefix, clock = ...

local client = etcd.newclient { endpoints = { endpoint } }
local mute = etcd.newclient { endpoints = { silent }, timeout = 0.1, retry = 0 }

assert(silly.run(function()
	local lease = assert(client:grant { TTL = 2 })
	local renewals = assert(client:keepalive(lease.ID))
	local stream = assert(client:watch { key = prefix })
	for _, step in ipairs { "+3600", "-3600" } do
		local before = os.time()
		local file = assert(io.open(clock, "w"))
		file:write(step, "\n")
		file:close()
		assert(math.abs(os.time() - before) > 3000, "the clock stands where it was")
		-- Longer than the lease lives unrenewed.
		for _ = 1, 4 do
			assert(renewals:read(30))
		end
		assert(client:put { key = prefix, value = step, lease = lease.ID })
		assert(assert(stream:read(30)).events[1].kv.value == step)
		assert(select(2, stream:read(0.01)) == "timeout")
		assert(select(3, mute:get { key = prefix }).code == "deadline_exceeded")
		silly.sleep(10)
	end
end))
