-- nginx with its Lua module for the specs, as an operator runs it: started, reloaded, ended, asked over HTTP.
-- In: build/openresty/nginx, which .ci/openresty fetches, and the library of `make libraries`; a configuration. Out:
-- what it responds, and its error log. One at a time; its folder is cleared when the next one starts.

local server = require "spec.support.etcd"

local nginx = {
	dir = os.getenv "ETCD_SUITE_DIR" .. "/openresty",
	-- Where the configurations of the specs listen.
	port = 8000 + tonumber(os.getenv("ETCD_ENDPOINTS"):match "%d+$") % 1000,
	missing = "missing: nginx with its Lua module, see .ci/openresty, or `make libraries`",
}

--- Is there one to start?
nginx.present = server.sh ".ci/openresty" == 0 and io.open "build/hosts/5.1/silly/store/etcd.so" ~= nil

local DIR, PORT = nginx.dir, nginx.port

local function must(command)
	local status, output = server.sh(command)
	return status == 0 and output or error(output, 3)
end

--- The text of a file; empty where there is none.
---@param path string
---@return string
function nginx.read(path)
	local file = io.open(path)
	local text = file and file:read "a" or ""
	if file then
		file:close()
	end
	return text
end

--- What nginx complains of.
---@return string
function nginx.errors()
	return nginx.read(DIR .. "/error.log")
end

--- Calls `condition` until it returns something.
---@generic T
---@param condition fun(): T?
---@return T
function nginx.await(condition)
	return server.await(condition, nginx.errors)
end

--- What it responds, with the headers.
---@param path string
---@return string
function nginx.get(path)
	local _, body = server.sh(("curl -sS -i --max-time 30 http://127.0.0.1:%d%s"):format(PORT, path))
	return body
end

--- Waits until every worker responds so; which of them does is not to be told.
---@param path string
---@param text string
function nginx.seen(path, text)
	nginx.await(function()
		for _ = 1, 20 do
			if not nginx.get(path):find(text, 1, true) then
				return false
			end
		end
		return true
	end)
end

--- Makes a folder and starts nginx in it by a configuration; returns once it responds. `files` come into the folder.
---@param conf string
---@param options { endpoint: string?, lua_path: string?, files: table<string, string>? }?
function nginx.start(conf, options)
	options = options or {}
	server.sh(("rm -rf '%s'; mkdir -p '%s'"):format(DIR, DIR))
	local files = { ["nginx.conf"] = conf }
	for name, text in pairs(options.files or {}) do
		files[name] = text
	end
	for name, text in pairs(files) do
		local file = assert(io.open(DIR .. "/" .. name, "w"))
		file:write(text)
		file:close()
	end
	must(("cd '%s' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
		.. "-keyout tls.key -out tls.pem"):format(DIR))
	local values = {
		DIR = DIR,
		ADDRESS = options.endpoint or os.getenv "ETCD_ENDPOINTS",
		FIRST = options.lua_path or "",
	}
	assert(os.execute(([[
		export LUA_PATH="FIRST$PWD/?.lua;;" LUA_CPATH="$PWD/build/hosts/5.1/?.so;;" ETCD_ENDPOINTS="ADDRESS"
		{ build/openresty/nginx -p DIR -e error.log -c DIR/nginx.conf >DIR/output 2>&1; echo $? >DIR/status; } &
	]]):gsub("%f[%u]%u+%f[%U]", values)))
	nginx.await(function() return server.sh(("bash -c '</dev/tcp/127.0.0.1/%d'"):format(PORT)) == 0 end)
end

---@param name string
function nginx.signal(name)
	must(("kill -%s $(cat %s/nginx.pid)"):format(name, DIR))
end

--- The process ids of its workers.
---@return string
function nginx.workers()
	local _, pids = server.sh(("pgrep -P $(cat %s/nginx.pid)"):format(DIR))
	return pids
end

--- How many files and sockets its only worker has open.
---@return integer
function nginx.descriptors()
	local _, listed = server.sh(("ls /proc/%d/fd"):format((nginx.workers())))
	return select(2, listed:gsub("\n", ""))
end

-- Waits for the end of nginx.
local function ended()
	return nginx.await(function()
		local status = nginx.read(DIR .. "/status")
		return status ~= "" and status
	end)
end

--- Ends nginx, whatever it does.
function nginx.stop()
	if server.sh(("kill -TERM $(cat %s/nginx.pid)"):format(DIR)) == 0 then
		ended()
	end
end

--- Ends nginx as an operator does.
---@return string errors  what it had to complain of
function nginx.quit()
	nginx.signal "QUIT"
	local status = ended()
	assert(status == "0\n", status)
	return nginx.errors()
end

return nginx
