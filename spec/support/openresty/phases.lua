-- What nginx does for spec/openresty_spec.lua, in its phases.

local etcd = require "silly.store.etcd"

local ngx = ngx -- luacheck: ignore 113

local phases = {}

local client

local function shared()
	client = client or etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" } }
	return client
end

-- The watches that were not collected yet.
local watches = setmetatable({}, { __mode = "k" })

local function watch(key)
	local stream = assert(shared():watch { key = key })
	watches[stream] = true
	return stream
end

local function record(key, value)
	assert(shared():put { key = "openresty/" .. key, value = value })
end

--- Puts openresty/<phase>. Where that is refused, openresty/refused/<phase> gets the message, in the way that it names.
function phases.put()
	local phase = ngx.get_phase()
	local answer, message, info = shared():put { key = "openresty/" .. phase, value = tostring(ngx.worker.pid()) }
	if not answer then
		local told = info.code .. ", applied: " .. info.applied .. ", " .. message
		assert(ngx.timer.at(0, function() record("refused/" .. phase, told) end))
	end
	return ""
end

--- Has a timer wait for the end of the worker. Returns what writes the message of a call to a file.
function phases.ending()
	assert(ngx.timer.at(3600, function() record("ended", "in a timer") end))
	return function()
		local _, message = shared():put { key = "openresty/exit_worker", value = "" }
		local file = assert(io.open(ngx.config.prefix() .. "exit_worker", "w"))
		file:write(message)
		file:close()
	end
end

--- The messages of calls that are made where Lua cannot wait.
function phases.nested()
	local messages = {}
	local function put()
		local _, message = shared():put { key = "openresty/nested", value = "" }
		messages[#messages + 1] = message .. "\n"
	end
	table.sort({ 2, 1 }, function(a, b)
		put()
		return a < b
	end)
	string.gsub("1", ".", put)
	package.preload.nested = put
	require "nested"
	getmetatable(newproxy(true)).__gc = put -- luacheck: ignore 113
	collectgarbage()
	return table.concat(messages)
end

--- The phase, put and got.
function phases.started()
	record("started", ngx.get_phase())
	return assert(shared():get { key = "openresty/started" }).kvs[1].value
end

--- A process has clients of its own.
function phases.renew()
	client = nil
end

--- How many keys there are.
function phases.get()
	return assert(shared():get { key = "openresty/", prefix = true, count_only = true }).count
end

--- Fails at a server that is not there, by the deadline of its attempts.
function phases.lost()
	local lost = etcd.newclient { endpoints = { "127.0.0.1:1" }, timeout = 0.2, retry = 2 }
	local _, _, info = lost:put { key = "openresty/lost", value = "" }
	lost:close()
	return info.code
end

--- Says when it reads, and answers the value that comes, or the code of the failure.
function phases.read()
	local stream = watch "openresty/read"
	record("reads", tostring(ngx.worker.pid()))
	local answer, _, info = stream:read()
	stream:close()
	return answer and answer.events[1].kv.value or info.code
end

--- Kills a light thread that reads.
function phases.killed()
	local stream = watch "openresty/killed"
	return (ngx.thread.kill(ngx.thread.spawn(function() stream:read() end)))
end

--- How many watches there are.
function phases.watches()
	collectgarbage()
	collectgarbage()
	local count = 0
	for _ in pairs(watches) do
		count = count + 1
	end
	return count
end

--- Says when it waits for the end of the worker, reads then, watches again, and answers how both failed and that a get
--- did not.
function phases.late()
	local stream = watch "openresty/late"
	record("waits", tostring(ngx.worker.pid()))
	repeat
		ngx.sleep(0.01)
	until ngx.worker.exiting()
	local _, read, info = stream:read()
	local _, watched, again = shared():watch "openresty/late"
	assert(info.code == "closed" and again.code == "closed" and shared():get "openresty/late")
	return read .. "\n" .. watched
end

--- Begins a watch on a server that is not there, and says how it ended.
function phases.lost_watch()
	local lost = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 1000000 }
	record("waits", tostring(ngx.worker.pid()))
	local _, message, info = lost:watch "openresty/lost"
	assert(info.code == "closed" and info.applied == "no")
	record("lost", message)
end

--- Watches again and again, as one does who looks at nothing else, and says how often while the worker was to end.
function phases.stubborn()
	local over, count = false, 0
	ngx.thread.spawn(function()
		repeat
			ngx.sleep(0.01)
		until ngx.worker.exiting()
		ngx.sleep(2)
		over = true
	end)
	record("waits", tostring(ngx.worker.pid()))
	repeat
		local stream = shared():watch "openresty/stubborn"
		while stream and stream:read() do end
		count = count + 1
	until over
	record("stubborn", tostring(count))
end

return phases
