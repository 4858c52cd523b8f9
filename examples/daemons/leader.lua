-- One of many works, and stops the instant it does not lead any more.
--   bin/silly-run examples/daemons/leader.lua NAME ID
-- In: what is campaigned for, and who this is. Out: when it leads and when it does not any more, until it is killed.
-- Its work is to count, in etcd.

---@diagnostic disable: await-in-sync -- the main chunk is a task too

local etcd = require "silly.store.etcd"
local time = require "silly.time"

local name, id = ...
local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }, timeout = 2 }
local key = name .. ":count"

io.stdout:setvbuf "line"
while true do
	local leader, message = client:campaign { name = name, value = id, TTL = 5 }
	if leader then
		print("leads", id)
		while leader:held() do
			local response = client:get(key)
			local last = response and response.kvs[1]
			if response then
				-- Not written once somebody else leads, whatever this process believes; and not over what has come late.
				leader:txn {
					compare = { { key = key, mod_revision = last and last.mod_revision or 0 } },
					success = { { put = { key = key, value = ("%d"):format((last and tonumber(last.value) or 0) + 1) } } },
				}
			end
			time.sleep(50)
		end
		print("leads no longer", assert(leader:wait()).code)
		leader:close()
	else
		print("waits", (message:match "^[^:]*: ([^:]*)"))
		time.sleep(500)
	end
end
