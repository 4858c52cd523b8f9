-- What iterates over the things of a stream, and ends when that is closed. Any other end is raised.

--- Makes an iterator.
---@generic T
---@param next async fun(): T?, string?, silly.store.etcd.info?  reads the next thing
---@return async fun(): T?
local function iterate(next)
	---@async
	return function()
		local thing, message, info = next()
		if not thing and assert(info).code ~= "closed" then
			error(message, 2)
		end
		return thing
	end
end

return iterate
