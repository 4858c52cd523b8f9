-- A job that runs once per period in a whole fleet, whichever process is up.
--   lua examples/daemons/cron.lua NAME SECONDS
-- In: the job's name, which all processes of the fleet share, and its period. Out: a line for each run, until it is
-- killed. Should the process die in the midst of a run, that run is not repeated: for a job that may run twice, mark it
-- after it.

---@diagnostic disable: await-in-sync -- a call blocks here

local etcd = require "silly.store.etcd"

local name, period = ..., assert(tonumber((select(2, ...))), "how many seconds?")
local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }, timeout = 2 }
local mark = "cron/" .. name .. ":last"

local function job(slot)
	print("run", slot)
end

io.stdout:setvbuf "line"
while true do
	local slot = math.floor(os.time() / period)
	-- Nobody waits: one of the fleet is enough. While etcd is down nothing runs.
	local lock = client:lock { name = "cron/" .. name, wait = 0, deadline = 2 }
	if lock then
		lock:run(function()
			local response = client:get(mark)
			local last = response and response.kvs[1]
			if response and not (last and tonumber(last.value) >= slot) then
				-- Only who holds the lock marks it, and only who has marked it runs it.
				if lock:put { key = mark, value = ("%d"):format(slot) } then
					job(("%d"):format(slot))
				end
			end
		end)
	end
	os.execute "sleep 0.1"
end
