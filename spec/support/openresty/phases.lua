-- What nginx does for spec/openresty_spec.lua, in its phases.

local etcd = require "silly.store.etcd"

local ngx = ngx -- luacheck: ignore 113

local phases = {}

local client

local function shared()
	client = client or etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" } }
	return client
end

--- Puts openresty/<phase>.
function phases.put()
	assert(shared():put { key = "openresty/" .. ngx.get_phase(), value = tostring(ngx.worker.pid()) })
	return ""
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
	local stream = assert(shared():watch { key = "openresty/read" })
	assert(shared():put { key = "openresty/reads", value = tostring(ngx.worker.pid()) })
	local answer, _, info = stream:read()
	stream:close()
	return answer and answer.events[1].kv.value or info.code
end

--- Says when it waits for the end of the worker, reads then, and answers the code of the failure.
function phases.late()
	local stream = assert(shared():watch { key = "openresty/late" })
	assert(shared():put { key = "openresty/waits", value = tostring(ngx.worker.pid()) })
	repeat
		ngx.sleep(0.01)
	until ngx.worker.exiting()
	local _, _, info = stream:read()
	return info.code
end

return phases
