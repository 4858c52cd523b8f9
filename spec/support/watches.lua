--- What the specs of watches share: reads that never wait in vain, and the server's count of watches.
local watches = {}

--- Seconds after which a test that waits in vain fails instead.
watches.HANG = 30

local WATCHERS = "etcd_debugging_mvcc_watcher_total"

--- How many watches a node has.
---@param node spec.etcd.node
---@return number
function watches.count(node)
	return assert(node:metric(WATCHERS))
end

--- Waits until a node has this many watches.
---@param node spec.etcd.node
---@param count integer
function watches.await(node, count)
	for _ = 1, watches.HANG * 20 do
		if watches.count(node) == count then
			return
		end
		os.execute("sleep 0.05")
	end
	error(("%d watchers instead of %d"):format(watches.count(node), count), 2)
end

--- The next response.
---@param stream silly.store.etcd.watch
---@return table
function watches.read(stream)
	return assert(stream:read(watches.HANG))
end

--- The next events, each as "PUT key=value" or "DELETE key".
---@param stream silly.store.etcd.watch
---@param count integer
---@return string[]
function watches.events(stream, count)
	local seen = {}
	while #seen < count do
		for _, event in ipairs(watches.read(stream).events) do
			local kv = event.kv
			seen[#seen + 1] = event.type .. " " .. kv.key .. (event.type == "PUT" and "=" .. kv.value or "")
		end
	end
	return seen
end

return watches
