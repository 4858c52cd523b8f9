-- Signals are the host's business. In: endpoint. Out: an error if the library changes how the process handles one, if
-- its thread can receive one, or if a write to a closed connection raises SIGPIPE, which would end this process.

local host = require "host"

local function field(path, name)
	for line in io.lines(path) do
		local value = line:match("^" .. name .. ":%s*(%S+)")
		if value then
			return value
		end
	end
end

-- 32 to 34 belong to libc.
local LIBC = 1 << 31 | 1 << 32 | 1 << 33

local function handling()
	local set = {}
	for i, name in ipairs { "SigBlk", "SigIgn", "SigCgt" } do
		set[i] = ("%x"):format(tonumber(field("/proc/self/status", name), 16) & ~LIBC)
	end
	return table.concat(set, " ")
end

local before = handling()
local etcd = require "silly.store.etcd"
local client = etcd.newclient { endpoints = { (...) } }
assert(client:get { key = "a" })
assert(handling() == before, handling())

-- A thread gives itself its name, maybe later than it is there.
local ours
repeat
	for _, thread in ipairs(host.tasks()) do
		local path = "/proc/self/task/" .. thread .. "/status"
		if field(path, "Name") == "silly-etcd" then
			ours = tonumber(field(path, "SigBlk"), 16)
		end
	end
until ours
-- All but SIGKILL and SIGSTOP.
assert(~ours & ~LIBC == 1 << 8 | 1 << 18, ("%x"):format(ours))

local peer = "127.0.0.1:" .. host.peer()
for _ = 1, 300 do
	local refused = etcd.newclient { endpoints = { peer }, retry = 0 }
	assert(not refused:put { key = "a", value = ("v"):rep(1 << 20) })
	refused:close()
end
