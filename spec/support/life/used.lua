-- What is left over after many calls, clients and watches. In: endpoint, key prefix, calls, clients, watches.
-- Out: memory that is kept for good, threads and descriptors, as an error if there is too much of them.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local loop = require "spec.support.life.loop"

local endpoint, prefix, calls, clients, watches = ...

local function many(times)
	local client = etcd.newclient { endpoints = { endpoint }, loop = loop }
	local left, running = times, 64
	for _ = 1, running do
		assert(coroutine.resume(coroutine.create(function()
			while left > 0 do
				left = left - 1
				local call = left % 10 == 0 and client.put or client.get
				assert(call(client, { key = prefix, value = call == client.put and "v" or nil }))
			end
			running = running - 1
		end)))
	end
	while running > 0 do
		core:wait()
		loop.pump()
	end
	client:close()
end

local function open(times)
	for _ = 1, times do
		local client = etcd.newclient { endpoints = { endpoint } }
		assert(client:watch { key = prefix })
		client:close()
	end
end

local function watch(times)
	local client = etcd.newclient { endpoints = { endpoint } }
	-- Keeps the stream open that the others share.
	local _ = assert(client:watch { key = prefix })
	for _ = 1, times do
		assert(client:watch { key = prefix, revision = 1 }):close()
	end
	client:close()
end

-- The library's thread closes the last connection after the client has gone.
local function measure()
	local deadline = core:monotonic() + 30000
	collectgarbage()
	collectgarbage()
	while host.sockets() > 0 do
		assert(core:monotonic() < deadline, "connections stay open")
		core:wait(0.02)
	end
	return host.usage()
end

-- The allocator and the collector find their level first.
many(tonumber(calls) / 5)
open(tonumber(clients) / 5)
watch(tonumber(watches) / 5)
local _, descriptors, heap, resident = measure()
many(tonumber(calls))
open(tonumber(clients))
watch(tonumber(watches))

local threads, descriptors_now, heap_now, resident_now = measure()
local report = ("%d calls, %d clients, %d watches: "):format(calls, clients, watches)
	.. ("heap %+.0f KiB, resident %+.0f KiB, descriptors %+d, threads %d"):format(
		(heap_now - heap) / 1024, (resident_now - resident) / 1024, descriptors_now - descriptors, threads)
print(report)
assert(descriptors_now == descriptors and threads == 2, report)
-- Three times as many calls leave no more than these do: the allocator's slack, up to 106 KiB, and no leak.
assert(heap_now - heap < 192 * 1024 and resident_now - resident < 1024 * 1024, report)
