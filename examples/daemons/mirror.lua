-- Mirrors the keys below a prefix to another cluster, whatever becomes of either.
--   eval "$(make -s env)"
--   lua5.4 examples/daemons/mirror.lua PREFIX TARGET
-- In: the keys of $ETCD_ENDPOINTS, and the endpoint of the other. Out: the same keys and values there, and the revision
-- that they are of, printed and as `mirror:PREFIX`. What changed while neither could be reached is made good as a
-- whole: the newest of each key, not every step.

---@diagnostic disable: await-in-sync -- here they block

local etcd = require "silly.store.etcd"

local prefix, target = ...

local function connect(endpoint)
	-- To put or delete a key twice does no harm.
	return etcd.newclient { endpoints = { endpoint }, retry = 1000000, retry_unknown = true }
end
local from, to = connect(os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379"), connect(target)

-- etcd takes 128 operations in a transaction. The last one says how far the mirror is.
local function apply(events, revision)
	for first = 1, #events, 127 do
		local ops = {}
		for i = first, math.min(first + 126, #events) do
			local kv = events[i].kv
			ops[#ops + 1] = events[i].type == "PUT" and { put = { key = kv.key, value = kv.value } }
				or { delete = { key = kv.key } }
		end
		if first + 127 > #events then
			ops[#ops + 1] = { put = { key = "mirror:" .. prefix, value = tostring(revision) } }
		end
		assert(to:txn { success = ops })
	end
end

local copy = assert(from:cache { key = prefix, prefix = true, wait = 3600 })
local changes = assert(copy:changes { initial = true })

-- What the mirror has, and the source has no more.
local gone = {}
for kv in assert(to:scan { key = prefix, prefix = true, keys_only = true }):kvs() do
	if copy:value(kv.key) == nil then
		gone[#gone + 1] = { type = "DELETE", kv = kv }
	end
end
apply(gone, 0)

io.stdout:setvbuf "line"
while true do
	local response = assert(changes:read())
	apply(response.events, response.revision)
	print(response.revision)
end
