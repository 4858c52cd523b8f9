-- What the specs of silly.resty.etcd have in common: nginx with the configuration beside this file, an etcd of their
-- own, and cases, which are code that runs in a worker. Out: what a case returns.

local etcd = require "silly.store.etcd"
local json = require "silly.encoding.json"
local nginx = require "spec.support.nginx"
local server = require "spec.support.etcd"

local worker = {
	node = nil, ---@type spec.etcd.node
	client = nil, ---@type silly.store.etcd.client
	-- Where a proxy listens that writes down the headers of requests.
	proxy = "unix:" .. nginx.dir .. "/proxy.sock",
}

local function write(name, text)
	local file = assert(io.open(nginx.dir .. "/" .. name, "w"))
	file:write(text)
	file:close()
end

-- The name of a file with a request.
local function written(request)
	local file = os.tmpname()
	local handle = assert(io.open(file, "w"))
	handle:write(request and json.encode(request) or "{}")
	handle:close()
	return file
end

--- Starts nginx; anew where it runs.
---@param changes table?  of what is in angle brackets in nginx.conf
function worker.start(changes)
	nginx.stop()
	local values = { port = nginx.port, folder = nginx.dir, etcd = worker.node.endpoint, cache = "on" }
	for name, value in pairs(changes or {}) do
		values[name] = value
	end
	local conf = nginx.read("spec/support/resty/nginx.conf"):gsub("<(%w+)>", values)
	nginx.start(conf, { endpoint = worker.node.endpoint, lua_path = "$PWD/lua/?.lua;" })
end

--- Starts all that a file of specs needs.
function worker.setup()
	worker.node = server.start { flags = { server.progress_flag "100ms" } }
	worker.client = etcd.newclient { endpoints = { worker.node.endpoint }, retry = 100, retry_sleep = 50 }
	if nginx.present then
		worker.start()
	end
end

function worker.teardown()
	if nginx.present then
		nginx.stop()
	end
	worker.client:close()
	worker.node:kill()
end

--- Deletes all keys.
function worker.clear()
	assert(worker.client:delete { key = "", prefix = true })
end

--- `it`, for what needs nginx.
function worker.test(it, pending)
	return function(name, body)
		it(name, function()
			if not nginx.present then
				return pending(nginx.missing)
			end
			body()
		end)
	end
end

--- Begins a case; `finish` waits for its end. A case that another one follows before its end says by the key `begun`
--- that it was read.
---@param case string  code that sees `new`, `cases` and `arg`
---@param arg table?
function worker.begin(case, arg)
	write("case.lua", case)
	write("arguments.json", assert(json.encode(arg or {})))
	return io.popen(("curl -sS -i --max-time 60 http://127.0.0.1:%d/run 2>&1"):format(nginx.port))
end

--- Returns what a case returns.
function worker.finish(pipe)
	local response = pipe:read "a"
	pipe:close()
	local status, body = response:match "^HTTP/1.1 (%d+) .-\r?\n\r?\n(.*)$"
	if status ~= "200" then
		error(response .. "\n" .. nginx.errors(), 2)
	end
	local results = assert(json.decode(body))
	local count = #results
	for i = 1, count do
		if results[i] == json.null then
			results[i] = nil
		end
	end
	return table.unpack(results, 1, count)
end

--- Runs a case to its end.
function worker.run(case, arg)
	return worker.finish(worker.begin(case, arg))
end

--- Puts a key and returns the revision.
function worker.put(key, value, fields)
	local request = { key = key, value = value }
	for name, field in pairs(fields or {}) do
		request[name] = field
	end
	return assert(worker.client:put(request)).header.revision
end

--- What etcd's own HTTP gateway responds.
---@return integer? status
---@return table body
function worker.gateway(path, request)
	local file = written(request)
	local command = "curl -sS -w '\\n%%{http_code}' --max-time 20 -d @%s http://%s/v3/%s"
	local _, output = server.sh(command:format(file, worker.node.endpoint, path))
	os.remove(file)
	local body, status = output:match "^(.*)\n(%d+)$"
	return tonumber(status), assert(json.decode(body), output)
end

--- The first chunks of a watch of the gateway, which ends with its server.
---@param request table
---@param count integer
---@param node spec.etcd.node?  another than the usual one
---@return table[]
function worker.chunks(request, count, node)
	local file = written { create_request = request }
	local command = "bash -c 'head -n %d < <(curl -sSN -d @%s http://%s/v3/watch 2>/dev/null)'"
	local _, output = server.sh(command:format(count, file, (node or worker.node).endpoint))
	os.remove(file)
	local list = {}
	for line in output:gmatch "[^\n]+" do
		list[#list + 1] = json.decode(line)
	end
	return list
end

return worker
