-- OpenResty: all phases, several workers, reload and quit, and no line in the error log.
-- In: the nginx of spec/support/nginx.lua; pending without it.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"
local nginx = require "spec.support.nginx"

local DIR, PORT = nginx.dir, nginx.port
local await, get, read, signal, workers = nginx.await, nginx.get, nginx.read, nginx.signal, nginx.workers
local descriptors = nginx.descriptors

-- What a server answers that listens on a socket in the folder.
local function connect(socket, url)
	return io.popen(("curl -sSk --max-time 60 --unix-socket '%s/%s.sock' %s"):format(DIR, socket, url))
end

local function start(conf, endpoint)
	nginx.start(conf, { endpoint = endpoint })
end

local function configured(changes)
	local values = {
		workers = 1, cache = "on", timers = 256, master = "", worker = "", exit = "", port = PORT, folder = DIR,
	}
	for name, value in pairs(changes) do
		values[name] = value
	end
	return (read("spec/support/openresty/nginx.conf"):gsub("<(%w+)>", values))
end

-- Waits until nothing is read in the worker any more.
local function await_rest()
	await(function() return get("/timers"):find "\n0\n$" end)
end

-- Ends nginx, and looks for what it has to complain of.
local function quit()
	assert.are.equal("", nginx.quit())
end

describe("OpenResty #hosts", function()
	local client

	local function test(name, run)
		it(name, function()
			if not nginx.present then
				return pending(nginx.missing)
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
		nginx.stop()
		client:close()
	end)

	test("f5: suspends its caller in every phase in which Lua can wait", function()
		start(configured {})
		assert.is_truthy(get("/phases"):find "\nok\n$")
		assert.are.equal("ok\n", (connect("tls", "https://localhost"):read "a"))
		for _, phase in ipairs { "rewrite", "access", "content", "ssl_cert" } do
			await(function() return value(phase) end)
		end
		quit()
	end)

	test("f5: serves others while a call waits in server_rewrite", function()
		start(configured {})
		local pipe = connect("rewritten", "http://localhost")
		await(function() return value "reads" end)
		assert.is_truthy(get("/ok"):find "\nok\n$")
		assert(client:put { key = "openresty/read", value = "" })
		assert.are.equal("ok\n", pipe:read "a")
		pipe:close()
		quit()
	end)

	test("n5: refuses a call where nothing can wait, before anything is sent", function()
		start(configured {
			worker = 'ending = require "spec.support.openresty.phases".ending()',
			exit = "ending()",
		})
		assert.is_truthy(get("/phases"):find "\nok\n$")
		assert.is_truthy(get("/balanced"):find "\nok\n$")
		assert.are.equal("ok\n", (connect("tls", "https://localhost"):read "a"))
		for _, phase in ipairs {
			"set", "header_filter", "body_filter", "log", "balancer", "ssl_session_store",
		} do
			assert.are.equal("failed_precondition, applied: no, put: failed_precondition: nothing can wait in the phase '"
				.. phase .. "'; call this in rewrite, access or content, or where the request needs no answer in a timer: "
				.. "ngx.timer.at(0, ...)",
				await(function() return value("refused/" .. phase) end))
			assert.is_nil(value(phase))
		end
		quit()
		assert.are.equal("put: failed_precondition: nothing can wait in the phase 'exit_worker'; call this in a timer: "
			.. "one that is pending runs when the worker is told to end", read(DIR .. "/exit_worker"))
		assert.is_nil(value "exit_worker")
		assert.are.equal("in a timer", value "ended")
	end)

	test("n5: refuses a call inside a C function or a finalizer, before anything is sent", function()
		start(configured {})
		local answer = get "/nested"
		local refused = "put: failed_precondition: nothing can wait in a finalizer or inside a C function, such as "
			.. "table.sort or require; call this outside\n"
		assert.is_truthy(answer:find(("\n" .. refused:rep(4) .. "\n"), 1, true), answer)
		assert.is_nil(value "nested")
		quit()
	end)

	test("n5: blocks while the server starts, bounded by the deadline of its attempts", function()
		start(configured {
			master = 'started = { require "spec.support.openresty.phases".started() }',
			worker = [[
				local phases = require "spec.support.openresty.phases"
				started[2] = phases.lost()
				phases.renew()
				started[3] = phases.started()
			]],
		})
		assert.is_truthy(get("/started"):find("\ninit unavailable init_worker\n", 1, true), get "/started")
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
		local why = ": closed: the worker is exiting; read with `get` what is needed until then\n"
		assert.are.equal("read" .. why .. "watch" .. why, pipe:read "a")
		pipe:close()
		await(function() return not workers():find(old, 1, true) and workers() ~= "" end)
		quit()
	end)

	test("n5: lets a worker end in which a watch waits for its server", function()
		start(configured { worker = 'ngx.timer.at(0, require "spec.support.openresty.phases".lost_watch)' })
		await(function() return value "waits" end)
		local old = workers()
		signal "HUP"
		await(function() return not workers():find(old, 1, true) and workers() ~= "" end)
		assert.matches("watch: closed: the worker is exiting", value "lost", 1, true)
		quit()
	end)

	test("n5: leaves others their turn where somebody watches again and again in a worker that ends", function()
		start(configured { worker = 'ngx.timer.at(0, require "spec.support.openresty.phases".stubborn)' })
		await(function() return value "waits" end)
		local old = workers()
		signal "HUP"
		await(function() return not workers():find(old, 1, true) and workers() ~= "" end)
		assert.is_true(tonumber(value "stubborn") < 100, value "stubborn")
		quit()
	end)

	test("gives up callers whose light thread is killed", function()
		start(configured {})
		assert.is_truthy(get("/killed"):find "\n1\n$")
		await_rest()
		assert.is_truthy(get("/watches"):find "\n0\n$")
		quit()
	end)

	test("gives up callers whose request is aborted", function()
		start(configured {})
		server.sh(("curl -sS --max-time 60 http://127.0.0.1:%d/read >'%s/aborted' 2>&1 & echo $! >'%s/curl'")
			:format(PORT, DIR, DIR))
		await(function() return value "reads" end)
		server.sh(("kill $(cat '%s/curl')"):format(DIR))
		await_rest()
		assert.is_truthy(get("/watches"):find "\n0\n$")
		quit()
	end)

	test("answers where nginx runs no timer", function()
		start(configured { timers = 0 })
		assert.is_truthy(get("/get"):find "\n0\n$")
		signal "QUIT"
		await(function() return read(DIR .. "/status") ~= "" end)
	end)

	test("n14: serves a lua_State for each request, which end and leave no descriptor", function()
		start(configured { cache = "off" })
		assert.is_truthy(get("/phases"):find "\nok\n$")
		await_rest()
		local before = descriptors()
		for _ = 1, 200 do
			assert.is_truthy(get("/phases"):find "\nok\n$")
		end
		await_rest()
		await(function() return descriptors() <= before end)
		signal "QUIT"
		await(function() return read(DIR .. "/status") ~= "" end)
		local log = read(DIR .. "/error.log"):gsub("[^\n]*lua_code_cache is off[^\n]*\n", "")
		assert.are.equal("", log)
	end)

	test("has routes in the sample: etcd down at the start, a restart, a compaction, a reload while it is down", function()
		local node = server.start()
		local own = etcd.newclient { endpoints = { node.endpoint } }
		finally(function()
			own:close()
			node:kill()
		end)

		local function seen(text) nginx.seen("/docs/page", text) end
		-- Two upstreams, in the same nginx.
		local function upstream(port)
			return ("\tserver { listen 127.0.0.1:%d; location / { return 200 'by %d of $uri'; } }\n}\n"):format(port, port)
		end
		local conf = read("examples/hosts/openresty.conf"):gsub("127%.0%.0%.1:8088", "127.0.0.1:" .. PORT)
		local one, two = PORT + 1000, PORT + 2000
		conf = conf:gsub("}\n$", function() return upstream(one) end)
		conf = conf:gsub("}\n$", function() return upstream(two) end)

		assert(own:put { key = "routes/docs", value = "127.0.0.1:" .. one })
		node:stop()
		start(conf, node.endpoint)
		local first = get "/docs/page"
		assert.is_truthy(first:find("^HTTP/1.1 503 "), first)
		node:start()
		seen(("by %d of /docs/page"):format(one))
		assert.is_truthy(get("/none"):find("^HTTP/1.1 404 "))

		node:kill()
		node:start()
		assert(own:put { key = "routes/docs", value = "127.0.0.1:" .. two })
		seen("by " .. two)

		node:cut(function(endpoint)
			local other <close> = etcd.newclient { endpoints = { endpoint } }
			local last = assert(other:put { key = "routes/docs", value = "127.0.0.1:" .. one }).header.revision
			assert(other:compact { revision = last, physical = true })
		end)
		seen("by " .. one)

		-- Each worker writes its copy within a second.
		for id = 0, 1 do
			await(function() return read(("%s/routes.%d"):format(DIR, id)):find("127.0.0.1:" .. one, 1, true) end)
		end
		node:stop()
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
		seen("by " .. one)
		node:start()
		assert(own:delete "routes/docs")
		seen "HTTP/1.1 404 "

		signal "QUIT"
		await(function() return read(DIR .. "/status") ~= "" end)
		assert.are.equal("", read(DIR .. "/error.log"))
	end)
end)
