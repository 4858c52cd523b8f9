-- A counter that many processes count, behind a lock.
--   lua examples/daemons/counter.lua NAME TIMES
-- In: the counter, and how often. Out: what it has come to. With a lock, since the work between reading and writing is
-- something that only one may do; for counting alone `client:increment` does it.

---@diagnostic disable: await-in-sync -- a call blocks here

local etcd = require "silly.store.etcd"

local name, times = ..., assert(tonumber((select(2, ...))), "how often?")
local endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }
local client = etcd.newclient { endpoints = endpoints, retry = 1000, retry_sleep = 100 }

local done, count = 0, nil
while done < times do
	-- One whose place was lost, with its process stopped for long say, queues once more.
	local lock = client:lock { name = name, TTL = 5 }
	if lock then
		lock:run(function()
			local kv = assert(client:get(name .. ":count")).kvs[1]
			local next = (kv and tonumber(kv.value) or 0) + 1
			local response, _, info = lock:put { key = name .. ":count", value = ("%d"):format(next) }
			-- Where the response was lost, whether it was written stands in the store: nobody else may write.
			local written = response ~= nil
			if not response and info.applied == "maybe" and lock:held() then
				kv = assert(client:get(name .. ":count")).kvs[1]
				written = kv ~= nil and tonumber(kv.value) == next
			end
			if written then
				done, count = done + 1, next
			end
		end)
	end
end
print(("%d"):format(count))
