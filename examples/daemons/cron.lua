-- A job that runs once per period in a whole fleet, whichever process is up.
--   lua examples/daemons/cron.lua NAME SECONDS
-- In: the job's name, which all processes of the fleet share, and its period. Out: a line for each run, until it is
-- killed. A run whose process dies in the midst of it, or whose mark may have been lost on the way, is not repeated: a
-- job that may run twice is marked after it.

---@diagnostic disable: await-in-sync -- a call blocks here

local etcd = require "silly.store.etcd"

local name, period = ..., assert(tonumber((select(2, ...))), "how many seconds?")
local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }, timeout = 2 }
local mark = "cron/" .. name .. ":last"

local function job(slot)
	print("run", os.date("!%H:%M:%S", slot))
end

-- When the job was run last, in seconds since 1970; nil where that is not known.
local function last()
	local response = client:get(mark)
	local kv = response and response.kvs[1]
	return response and (kv and tonumber(kv.value) or 0)
end

io.stdout:setvbuf "line"
repeat
	local slot = math.floor(os.time() / period) * period
	local known = last()
	-- Nobody waits: one of the fleet is enough. While etcd is down nothing runs.
	local lock = known and known < slot and client:lock { name = "cron/" .. name, wait = 0, deadline = 2 }
	if lock then
		lock:run(function()
			known = last()
			-- Only who holds the lock marks it, and only who has marked it runs it.
			if known and known < slot and lock:put { key = mark, value = ("%d"):format(slot) } then
				local ok, problem = pcall(job, slot)
				if not ok then
					print("failed", problem)
				end
			end
		end)
	end
until not os.execute "sleep 0.1"
