-- Checks what a method is called on: `watch.read(1)` is told how to call it.
--
-- In: the metatable of a kind of object, and what it is called. Out: a function that returns the object, or raises an
-- error that points at the call of the method.

local getmetatable = getmetatable

---@param mt table
---@param kind string such as `watch`
---@return fun<T>(self: T, name: string): T
return function(mt, kind)
	return function(self, name)
		if getmetatable(self) ~= mt then
			error(("%s: the first argument is no %s, call it as %s:%s(...)"):format(name, kind, kind, name), 3)
		end
		return self
	end
end
