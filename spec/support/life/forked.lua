-- Forks under load, again and again. In: endpoint, key prefix, how often. Out: an error unless each child is told at
-- once that the parent's objects are not its own, can close and collect them, works with a client of its own and ends,
-- and the parent misses nothing.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"
local loop = require "spec.support.life.loop"

local endpoint, prefix, times = ...

local client = etcd.newclient { endpoints = { endpoint }, loop = loop }
local lease = assert(client:grant { TTL = 2 })
assert(client:put { key = prefix .. "lease", value = "", lease = lease.ID })
local stream = assert(client:watch { key = prefix .. "n", prefix = true })
local renewals = assert(client:keepalive(lease.ID))

local function forked(nothing, message, info)
	assert(nothing == nil and info.code == "unavailable" and message:find("forked", 1, true), message)
end

local parent, refused = true, 0

local function child()
	parent = false
	-- Those that were parked when the process forked.
	loop.pump()
	assert(refused == 8, refused)
	forked(client:get { key = prefix })
	forked(stream:read())
	assert(tostring(client):find("closed", 1, true))
	local fresh = etcd.newclient { endpoints = { endpoint } }
	assert(assert(fresh:get { key = prefix .. "lease" }).count == 1)
	stream:close()
	renewals:close()
	client:close()
	client, stream, renewals = nil, nil, nil
	collectgarbage()
	collectgarbage()
	assert(fresh:put { key = prefix .. "child", value = "" })
end

local written, running, writers = 0, true, 8
for _ = 1, writers do
	assert(coroutine.resume(coroutine.create(function()
		while running and parent do
			local answer, message, info = client:put { key = prefix .. "n", value = "v" }
			if parent then
				assert(answer, message)
				written = written + 1
			else
				assert(info.applied == "maybe")
				refused = refused + 1
				return forked(answer, message, info)
			end
		end
		writers = writers - 1
	end)))
end

for i = 1, tonumber(times) do
	for _ = 1, 3 do
		core:wait()
		loop.pump()
	end
	local pid = host.fork()
	if pid == 0 then
		local ok, message = pcall(child)
		if not ok then
			io.stderr:write(tostring(message), "\n")
			host.exit(1)
		elseif i % 2 == 0 then
			host.exit(0)
		end
		os.exit(0, true)
	end
	local status, signal = host.wait(pid, 30)
	assert(status == 0, ("child %d: %s %s"):format(i, status, signal or ""))
end

running = false
while writers > 0 do
	core:wait()
	loop.pump()
end
local seen = 0
while seen < written do
	seen = seen + #assert(stream:read()).events
end
assert(seen == written)
assert(client:get { key = prefix .. "lease" }.count == 1, "the lease was lost")
assert(renewals:read())
