-- What a method returns that fails on this side. Nothing of it has reached a server, unless `applied` says "maybe".

---@param name string  of the method
---@param code silly.store.etcd.code
---@param problem string
---@param applied "no"|"maybe"|nil  "no" without it
---@return nil, string, silly.store.etcd.info
return function(name, code, problem, applied)
	return nil, name .. ": " .. code .. ": " .. problem, { code = code, applied = applied or "no" }
end
