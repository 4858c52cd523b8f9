--- The specs' hold on etcd: the shared server of the run, and nodes of a spec's own that it may stop, kill and
--- pause. Everything goes through the script beside this file; whatever a spec leaves behind is killed and
--- deleted when the run ends.
local etcd = {}

local script = debug.getinfo(1, "S").source:match("^@(.*)%.lua$")

---@class spec.etcd.node
---@field endpoint string host:port
---@field dir string
---@field private flags string[]
---@field private before string?  of a proxy: the endpoint behind it
local node = {}
node.__index = node

local function quote(word)
	return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function environment(name)
	return os.getenv(name)
		or error(name .. " is not set: use `make test` or `spec/support/etcd run busted FILE`", 3)
end

--- What an info says of a failure itself, without what was tried before it.
---@param info table?
---@return table?
function etcd.plain(info)
	if not info then
		return nil
	end
	local plain = {}
	for name, value in pairs(info) do
		plain[name] = value
	end
	plain.attempts, plain.elapsed, plain.causes, plain.server_message = nil, nil, nil, nil
	return plain
end

--- Runs a shell command.
---@param command string
---@return integer status
---@return string output stdout and stderr together
function etcd.sh(command)
	local pipe = assert(io.popen("(" .. command .. "\n) 2>&1; printf '\\n%d' $?"))
	local output, status = pipe:read("*a"):match("^(.*)\n(%d+)$")
	pipe:close()
	return tonumber(status), output
end

--- Calls `run(lua, cpath)` for each interpreter from 5.1 to 5.4, and LuaJIT, that is installed: its name, and where it
--- finds the library of `make libraries`.
---@param run fun(lua: string, cpath: string)
function etcd.each_lua(run)
	for _, lua in ipairs { "lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit" } do
		if etcd.sh("command -v " .. lua) == 0 then
			run(lua, ("build/hosts/%s/?.so;;"):format(lua:match "%d%.%d" or "5.1"))
		end
	end
end

local function must(...)
	local words = {}
	for i, word in ipairs({ ... }) do
		words[i] = quote(word)
	end
	local status, output = etcd.sh(table.concat(words, " "))
	return status == 0 and output or error(output, 3)
end

--- The endpoint of the server that all specs share. Keep to keys below `etcd.prefix()` there.
---@return string
function etcd.endpoint()
	return environment("ETCD_ENDPOINTS")
end

--- What clients put in front of the keys of a spec, and other tools must: nothing, but in spec/namespace_spec.lua.
etcd.namespace = ""

--- A key prefix that no other spec has.
---@return string
function etcd.prefix()
	local name = os.tmpname()
	os.remove(name)
	return name:match("[^/]+$") .. "/"
end

--- The version of the server, such as "3.4.23".
---@return string
function etcd.version()
	return must(os.getenv("ETCD") or "etcd", "--version"):match("etcd Version: (%S+)")
end

--- The flag by which a server tells an idle watch its progress so often; before 3.6 it was experimental.
---@param interval string  such as "100ms"
---@return string
function etcd.progress_flag(interval)
	local experimental = tonumber(etcd.version():match("^3%.(%d+)")) < 6
	return ("--%swatch-progress-notify-interval=%s"):format(experimental and "experimental-" or "", interval)
end

--- The tool for what a server has stored: etcdutl of its release where that was built beside it, else Debian's etcdctl.
---@return string command
function etcd.utility()
	local path = (os.getenv "ETCD" or ""):gsub("etcd$", "etcdutl")
	local file = path:find "etcdutl$" and io.open(path)
	if not file then
		return "env ETCDCTL_API=3 etcdctl"
	end
	file:close()
	return path
end

-- A folder for a node or proxy of a spec.
local function folder(kind)
	return (must("mktemp", "-d", environment("ETCD_SUITE_DIR") .. "/" .. kind .. ".XXXXXX"):gsub("\n", ""))
end

-- The first line of a file in its folder.
local function line(dir, name)
	local file = assert(io.open(dir .. "/" .. name))
	local text = file:read "*l"
	file:close()
	return text
end

--- Starts a node of the spec's own and returns once it answers healthy.
---@param options { flags: string[]? }?
---@return spec.etcd.node
function etcd.start(options)
	local dir = folder "node"
	local self = setmetatable({ dir = dir, flags = options and options.flags or {} }, node)
	self:start()
	self.endpoint = line(dir, "endpoint")
	return self
end

--- A node that is not started yet, to be added to a cluster first; `peer` is its URL for the other members.
---@return spec.etcd.node
function etcd.prepare()
	local dir = folder "node"
	must(script, "ports", dir)
	local port, peer = line(dir, "ports"):match("^(%d+) (%d+)")
	return setmetatable({
		dir = dir, flags = {}, endpoint = "127.0.0.1:" .. port, peer = "http://127.0.0.1:" .. peer,
	}, node)
end

--- Calls `ask` until it returns something, for 30 s at the most.
---@generic T
---@param ask fun(): T?
---@param why fun(): string?  says more where it does not
---@return T
function etcd.await(ask, why)
	local deadline = os.time() + 30
	while true do
		local answer = ask()
		if answer then
			return answer
		end
		if os.time() >= deadline then
			error("it did not come about" .. (why and "\n" .. why() or ""), 2)
		end
		os.execute "sleep 0.05"
	end
end

--- Starts the nodes of a new cluster and returns once all of them answer healthy.
---@param count integer
---@return spec.etcd.node[]
function etcd.cluster(count)
	local nodes, members, commands = {}, {}, {}
	for i = 1, count do
		nodes[i] = etcd.prepare()
		members[i] = nodes[i].dir:match("[^/]+$") .. "=" .. nodes[i].peer
	end
	local flag = "--initial-cluster=" .. table.concat(members, ",")
	for i = 1, count do
		nodes[i].flags = { flag }
		commands[i] = ("%s start %s %s & a%d=$!"):format(quote(script), quote(nodes[i].dir), quote(flag), i)
	end
	-- None of them is healthy before most of them are there.
	local waits = {}
	for i = 1, count do
		waits[i] = "wait $a" .. i
	end
	must("sh", "-c", table.concat(commands, "\n") .. "\n" .. table.concat(waits, " && "))
	return nodes
end

--- Starts a node that was prepared and added.
---@param members silly.store.etcd.cluster.member[]  those that there are, itself among them
function node:join(members)
	local cluster = {}
	for i, member in ipairs(members) do
		local name = member.peerURLs[1] == self.peer and self.dir:match("[^/]+$") or member.name
		cluster[i] = name .. "=" .. member.peerURLs[1]
	end
	self.flags = { "--initial-cluster=" .. table.concat(cluster, ","), "--initial-cluster-state=existing" }
	self:start()
end

--- Starts etcd's own gRPC proxy before an endpoint and returns once it listens.
---@param endpoint string
---@return spec.etcd.node
function etcd.proxy(endpoint)
	local dir = folder "proxy"
	local self = setmetatable({ dir = dir, before = endpoint, flags = {} }, node)
	self:start()
	self.endpoint = line(dir, "endpoint")
	return self
end

--- Starts the node or proxy again after `stop` or `kill`, on the same port and data.
function node:start()
	if self.before then
		must(script, "proxy", self.dir, self.before)
	else
		must(script, "start", self.dir, (table.unpack or unpack)(self.flags)) -- luacheck: ignore 113 143
	end
end

--- Cuts the node's clients off while `run(endpoint)` uses it: it restarts, listens where they do not look, and is
--- back at its own endpoint afterwards.
---@param run fun(endpoint: string)
function node:cut(run)
	local elsewhere = self.endpoint:gsub("127%.0%.0%.1", "127.0.0.2")
	self:stop()
	must(script, "start", self.dir, "--listen-client-urls=http://" .. elsewhere)
	run(elsewhere)
	self:stop()
	self:start()
end

--- Writes an older state of the store over that of this node, which is not running.
---@param backup string  a path, as `node:backup` has returned it
function node:restore(backup)
	local name, peer = self.dir:match("[^/]+$"), line(self.dir, "ports"):match("^%d+ (%d+)")
	must("rm", "-rf", self.dir .. "/data")
	local command = ("%s snapshot restore %s --data-dir=%s/data --name=%s --initial-cluster=%s=http://127.0.0.1:%s "
		.. "--initial-advertise-peer-urls=http://127.0.0.1:%s")
	must("sh", "-c", command:format(etcd.utility(), quote(backup), self.dir, name, name, peer, peer))
end

--- Saves the store.
---@return string path
function node:backup()
	local path = self.dir .. "/backup"
	must("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=" .. self.endpoint, "snapshot", "save", path)
	return path
end

--- What the server counts under a name, nil if nothing; the first of the numbers whose name begins so.
---@param name string
---@return number?
function node:metric(name)
	local file = assert(io.open(self.dir .. "/ports"))
	local port = file:read("*a"):match("%d+%s*$")
	file:close()
	local _, text = etcd.sh(([[bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d
		printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3']]):format(port))
	return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. "[^\n]* (%S+)"))
end

for _, action in ipairs({ "stop", "kill", "pause", "resume" }) do
	node[action] = function(self)
		must(script, action, self.dir)
	end
end

return etcd
