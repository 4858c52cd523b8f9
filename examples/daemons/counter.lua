-- A counter that many processes count, behind a lock.
--   lua examples/daemons/counter.lua NAME TIMES
-- In: the counter, and how often. Out: what it has come to. With a lock, since the work between reading and writing is
-- something that only one may do; for counting alone `client:increment` does it.

---@diagnostic disable: await-in-sync -- a call blocks here

local etcd = require "silly.store.etcd"

local name, times = ..., assert(tonumber((select(2, ...))), "how often?")
local endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" }
local client = etcd.newclient { endpoints = endpoints, retry = 1000, retry_sleep = 100 }

-- With its marker it is known whether a write has happened, though the response was lost.
local session
local done, count = 0, nil
while done < times do
	-- One whose place was lost, with its process stopped for long say, queues once more.
	if not (session and session:held()) then
		session = client:session { marker = name .. ":marker/", TTL = 5 }
	end
	local lock = session and client:lock { name = name, session = session }
	if lock then
		lock:run(function()
			local kv = assert(client:get(name .. ":count")).kvs[1]
			local next = (kv and tonumber(kv.value) or 0) + 1
			-- The comparison is for a write of one's own that comes late.
			local response, _, info = lock:txn {
				compare = { { key = name .. ":count", mod_revision = kv and kv.mod_revision or 0 } },
				success = { { put = { key = name .. ":count", value = ("%d"):format(next) } } },
				once = session,
			}
			local written = response and response.succeeded or info and info.applied == "yes"
			if written then
				done, count = done + 1, next
			end
		end)
	end
end
print(("%d"):format(count))
