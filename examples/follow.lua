-- Follows the keys below a prefix, whatever happens to etcd: the loop that the samples in hosts/ share.
-- In: a client, a prefix and two functions. `changed(key, value)` is called for each key that is there at the start and
-- for each that changes, without a value where it is gone. `pause(message)` is called when the keys cannot be followed
-- for now: it waits before the next attempt, in the way of its host. Out: nothing, once the client is closed.

---@async
---@param client silly.store.etcd.client
---@param prefix string
---@param changed fun(key: string, value: string?)
---@param pause async fun(message: string)
return function(client, prefix, changed, pause)
	local known = {} -- key to value

	local function tell(key, value)
		if known[key] ~= value then
			known[key] = value
			changed(key, value)
		end
	end

	-- Reads all keys, tells what is not as it was known, and watches them from there.
	---@async
	---@return_overload silly.store.etcd.watch
	---@return_overload nil, string, silly.store.etcd.info
	local function begin()
		local now, message, info = client:get { key = prefix, prefix = true, retry = 0 }
		if not now then
			return nil, message, info
		end
		local present = {}
		for _, kv in ipairs(now.kvs) do
			present[kv.key] = true
			tell(kv.key, kv.value)
		end
		for key in pairs(known) do
			if not present[key] then
				tell(key)
			end
		end
		return client:watch { key = prefix, prefix = true, revision = now.header.revision + 1, retry = 0 }
	end

	-- Tells what changes until the watch ends, and returns why it did.
	---@async
	---@param stream silly.store.etcd.watch
	---@return string message
	---@return silly.store.etcd.info info
	local function follow(stream)
		while true do
			local response, message, info = stream:read()
			if not response then
				stream:close()
				return message, info
			end
			for _, event in ipairs(response.events) do
				tell(event.kv.key, event.type == "PUT" and event.kv.value or nil)
			end
		end
	end

	while true do
		local stream, message, info = begin()
		if stream then
			message, info = follow(stream)
		end
		if info.code == "closed" then
			return
		elseif info.code ~= "compacted" then -- which only takes reading anew
			pause(message)
		end
	end
end
