-- A configuration that reloads itself, in Neovim: a global variable that is always up to date.
--   eval "$(make -s env LUA_VERSION=5.1)"
--   etcdctl put config/port 8080
--   nvim --headless -u NONE -c "luafile examples/hosts/neovim.lua"
-- Each change is printed, and `etcdctl del config/port` ends the program.

local etcd = require "silly.store.etcd"
local follow = require "examples.follow"
local vim = vim -- luacheck: ignore 113

local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" or "127.0.0.1:2379" } }

local function changed(key, value)
	io.stdout:write(key, "\t", tostring(value), "\n")
	if key == "config/port" then
		vim.g.port = value
		if not value then
			client:close() -- ends `follow`
		end
	end
end

---@async
local function pause(message)
	local co = coroutine.running()
	io.stderr:write(message, "\n")
	vim.defer_fn(function() assert(coroutine.resume(co)) end, 1000)
	coroutine.yield()
end

coroutine.wrap(function()
	follow(client, "config/", changed, pause)
	vim.cmd "qall!"
end)()
