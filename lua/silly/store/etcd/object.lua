-- What the objects of the client have in common: their methods are checked for what they are called on, `<close>` is
-- `close`, and `tostring` shows the state.

local getmetatable = getmetatable

local object = {}

--- A kind of object.
---@generic T
---@param kind string  such as `watch`
---@param methods T  its methods, `close` among them
---@param describe fun(self: T): string, string?  what it is called in `tostring`, and its state where it has ended
---@return metatable mt  of the objects
---@return fun(self: T, name: string): T check  returns the object on which the method `name` was called; anything else
--- raises an error that points at the call
function object.kind(kind, methods, describe)
	local mt = { __index = methods, __name = "silly.store.etcd." .. kind }

	local function check(self, name)
		if getmetatable(self) ~= mt then
			error(("%s: the first argument is no %s, call it as %s:%s(...)"):format(name, kind, kind, name), 3)
		end
		return self
	end

	function mt:__close()
		self:close()
	end

	function mt:__tostring()
		local ok, text, state = pcall(describe, check(self, "tostring"))
		if not ok then
			text, state = "...", "collected"
		end
		return ("%s: %s%s"):format(mt.__name, text, state and " (" .. state .. ")" or "")
	end

	return mt, check
end

local function close(native)
	native:close()
end

--- Closes a native half, which the collector may have taken already: a finalizer may come after that of what it uses.
---@param native { close: fun(self: any) }
function object.close(native)
	pcall(close, native)
end

local function closed(native)
	return native:closed()
end

--- Is a native half closed, or has the collector taken it already?
---@param native { closed: fun(self: any): boolean }
---@return boolean
function object.closed(native)
	local ok, is = pcall(closed, native)
	return not ok or is == true
end

return object
