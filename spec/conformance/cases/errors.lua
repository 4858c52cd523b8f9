-- Failures are values, the same on every host.

return {
	{ name = "a field that no call knows", run = function(t, client)
		local message, info = t.fails("invalid_argument", client:delete { key = t.prefix, prefx = true })
		t.equal("delete: unknown field 'prefx' (did you mean 'prefix'?)", message)
		t.equal({ "no", "prefx" }, { info.applied, info.field })
		t.fails("invalid_argument", client:get { key = 1 })
		t.fails("invalid_argument", client:get())
		t.fails("invalid_argument", client:watch { key = {} })
		t.fails("invalid_argument", client:txn { success = { { put = { key = t.prefix } } } })
		t.fails("invalid_argument", client:keepalive(true))
	end },

	{ name = "what the server refuses", run = function(t, client)
		local message, info = t.fails("not_found", client:put { key = t.prefix, value = "", lease = 123456 })
		t.equal("put: not_found: etcdserver: requested lease not found (" .. t.endpoint .. ")", message)
		t.equal({ "no", t.endpoint }, { info.applied, info.endpoint })
		t.fails("invalid_argument", client:put { key = "", value = "" })
	end },

	{ name = "a server that is not there", run = function(t)
		local client = t.client { endpoints = { "127.0.0.1:1" }, retry = 0 }
		local message, info = t.fails("unavailable", client:put { key = t.prefix, value = "" })
		t.equal("put: unavailable: connection refused (127.0.0.1:1)", message)
		t.equal({ "no", "127.0.0.1:1" }, { info.applied, info.endpoint })
		t.fails("unavailable", client:get { key = t.prefix, retry = 1, retry_sleep = 20 })
		client:close()
	end },

	{ name = "a wrong configuration is raised", run = function(t)
		for _, conf in ipairs { {}, { endpoints = {} }, { endpoints = { "127.0.0.1:1" }, timeuot = 1 }, { loop = 1 } } do
			local ok, message = pcall(t.etcd.newclient, conf)
			t.equal(false, ok)
			assert(tostring(message):find("newclient: ", 1, true), message)
		end
	end },

	{ name = "a method without its object is raised", run = function(t, client)
		local stream = assert(client:watch(t.prefix))
		for kind, object in pairs { client = client, watch = stream } do
			for _, self in ipairs { 1, {}, setmetatable({}, { __index = object }) } do
				local ok, message = pcall(object.close, self)
				t.equal(false, ok)
				assert(message:find("close: the first argument is no " .. kind, 1, true), message)
			end
		end
		stream:close()
	end },
}
