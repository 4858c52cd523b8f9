-- OpenResty: all phases, several workers, reload and quit, and no line in the error log.
-- In: build/openresty/nginx, which .ci/openresty fetches, and the library of `make libraries`; pending without them.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local DIR = os.getenv "ETCD_SUITE_DIR" .. "/openresty"
local PORT = 8000 + tonumber(os.getenv("ETCD_ENDPOINTS"):match "%d+$") % 1000

local function read(path)
	local file = io.open(path)
	local text = file and file:read "a" or ""
	if file then
		file:close()
	end
	return text
end

local function await(condition)
	local deadline = os.time() + 30
	repeat
		local answer = condition()
		if answer then
			return answer
		end
		server.sh "sleep 0.02"
	until os.time() > deadline
	error("what is awaited does not come\n" .. read(DIR .. "/error.log"), 2)
end

local function get(path)
	local _, body = server.sh(("curl -sS -i --max-time 30 http://127.0.0.1:%d%s"):format(PORT, path))
	return body
end

-- Starts nginx by a configuration and waits until it answers.
local function start(conf, endpoint)
	server.sh(("rm -rf '%s'; mkdir -p '%s'"):format(DIR, DIR))
	local file = assert(io.open(DIR .. "/nginx.conf", "w"))
	file:write(conf)
	file:close()
	assert(os.execute(([[
		export LUA_PATH="$PWD/?.lua;;" LUA_CPATH="$PWD/build/hosts/5.1/?.so;;" ETCD_ENDPOINTS="ADDRESS"
		{ build/openresty/nginx -p DIR -e error.log -c DIR/nginx.conf >DIR/output 2>&1; echo $? >DIR/status; } &
	]]):gsub("DIR", DIR):gsub("ADDRESS", endpoint or os.getenv "ETCD_ENDPOINTS")))
	await(function() return server.sh(("bash -c '</dev/tcp/127.0.0.1/%d'"):format(PORT)) == 0 end)
end

local function configured(changes)
	local values = { workers = 1, cache = "on", worker = "", port = PORT }
	for name, value in pairs(changes) do
		values[name] = value
	end
	return (read("spec/support/openresty/nginx.conf"):gsub("<(%w+)>", values))
end

local function signal(name)
	assert.are.equal(0, (server.sh(("kill -%s $(cat %s/nginx.pid)"):format(name, DIR))))
end

local function workers()
	local _, pids = server.sh(("pgrep -P $(cat %s/nginx.pid)"):format(DIR))
	return pids
end

-- Ends nginx as an operator does, and looks for what it has to complain of.
local function quit()
	signal "QUIT"
	assert.are.equal("0\n", await(function() return read(DIR .. "/status") ~= "" and read(DIR .. "/status") end))
	assert.are.equal("", read(DIR .. "/error.log"))
end

local present = server.sh ".ci/openresty" == 0 and io.open "build/hosts/5.1/silly/store/etcd.so"

describe("OpenResty #hosts", function()
	local client

	local function test(name, run)
		it(name, function()
			if not present then
				return pending "missing: nginx with its Lua module, see .ci/openresty, or `make libraries`"
			end
			run()
		end)
	end

	local function value(key)
		local kv = assert(client:get { key = "openresty/" .. key }).kvs[1]
		return kv and kv.value
	end

	before_each(function()
		client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" } }
		assert(client:delete { key = "openresty/", prefix = true })
	end)

	after_each(function()
		if server.sh(("kill -TERM $(cat %s/nginx.pid)"):format(DIR)) == 0 then
			await(function() return read(DIR .. "/status") ~= "" end)
		end
		client:close()
	end)

	test("serves every phase, also those that nginx does not let wait", function()
		start(configured { worker = 'require "spec.support.openresty.phases".put()' })
		assert.is_truthy(get("/phases"):find "\nok\n$")
		for _, phase in ipairs {
			"init_worker", "set", "rewrite", "access", "content", "header_filter", "body_filter", "log",
		} do
			await(function() return value(phase) end)
		end
		quit()
	end)

	test("bounds a call that blocks by the deadline of its attempts", function()
		start(configured {})
		local answer = get "/bounded"
		assert.is_truthy(answer:find("failure: unavailable", 1, true), answer)
		quit()
	end)

	test("serves several workers, each with what it reads", function()
		start(configured { workers = 4, worker = 'ngx.timer.at(0, require "spec.support.openresty.phases".read)' })
		await(function()
			local kv = assert(client:get { key = "openresty/reads" }).kvs[1]
			return kv and kv.version == 4
		end)
		quit()
	end)

	test("reloads and quits with reads under way, which are closed", function()
		start(configured { worker = 'ngx.timer.at(0, require "spec.support.openresty.phases".read)' })
		await(function() return value "reads" end)
		local old = workers()
		local pipe = io.popen(("curl -sS --max-time 60 http://127.0.0.1:%d/read"):format(PORT))
		await(function() return assert(client:get { key = "openresty/reads" }).kvs[1].version == 2 end)
		signal "HUP"
		assert.are.equal("closed\n", pipe:read "a")
		pipe:close()
		await(function() return not workers():find(old, 1, true) and workers() ~= "" end)
		await(function() return assert(client:get { key = "openresty/reads" }).kvs[1].version == 3 end)
		pipe = io.popen(("curl -sS --max-time 60 http://127.0.0.1:%d/read"):format(PORT))
		await(function() return assert(client:get { key = "openresty/reads" }).kvs[1].version == 4 end)
		assert(client:put { key = "openresty/read", value = "seen" })
		assert.are.equal("seen\n", pipe:read "a")
		pipe:close()
		quit()
	end)

	test("closes reads that start after the worker was told to end", function()
		start(configured {})
		local old = workers()
		local pipe = io.popen(("curl -sS --max-time 60 http://127.0.0.1:%d/late"):format(PORT))
		await(function() return value "waits" end)
		signal "HUP"
		assert.are.equal("closed\n", pipe:read "a")
		pipe:close()
		await(function() return not workers():find(old, 1, true) and workers() ~= "" end)
		quit()
	end)

	test("serves a lua_State for each request, which end", function()
		start(configured { cache = "off" })
		for _ = 1, 50 do
			assert.is_truthy(get("/phases"):find "\nok\n$")
		end
		-- What reads for them has ended.
		await(function() return get("/timers"):find "\n0\n$" end)
		signal "QUIT"
		await(function() return read(DIR .. "/status") ~= "" end)
		local log = read(DIR .. "/error.log"):gsub("[^\n]*lua_code_cache is off[^\n]*\n", "")
		assert.are.equal("", log)
	end)

	test("follows a configuration in the sample: etcd down at the start, a restart, a compaction", function()
		local node = server.start()
		local own = etcd.newclient { endpoints = { node.endpoint } }
		finally(function()
			own:close()
			node:kill()
		end)

		-- Waits until every worker has seen a value; which of them responds is not to be told.
		local function seen(port)
			await(function()
				for _ = 1, 20 do
					if not get("/port"):find("\n" .. port .. "\n", 1, true) then
						return false
					end
				end
				return true
			end)
		end

		assert(own:put { key = "config/port", value = "80" })
		node:stop()
		start((read("examples/hosts/openresty.conf"):gsub("127%.0%.0%.1:8088", "127.0.0.1:" .. PORT)), node.endpoint)
		await(function() return read(DIR .. "/error.log"):find "unavailable: connection refused" end)
		local old = workers()
		signal "HUP"
		await(function()
			local new = workers()
			for pid in old:gmatch "%d+" do
				if new:find(pid, 1, true) then
					return false
				end
			end
			return true
		end)
		node:start()
		seen "80"

		node:kill()
		node:start()
		assert(own:put { key = "config/port", value = "8080" })
		seen "8080"

		node:cut(function(endpoint)
			local other <close> = etcd.newclient { endpoints = { endpoint } }
			local last = assert(other:put { key = "config/port", value = "9090" }).header.revision
			assert(other:compact { revision = last, physical = true })
		end)
		seen "9090"

		signal "QUIT"
		await(function() return read(DIR .. "/status") ~= "" end)
		assert.are.equal("", (read(DIR .. "/error.log"):gsub("[^\n]*unavailable: connection refused[^\n]*\n", "")))
	end)
end)
