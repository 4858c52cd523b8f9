-- Serves what the clients of a program count over HTTP, for Prometheus, under luv.
-- In: an address and a port; 0 is one that is free. Out: the server, a luv handle that keeps the loop running until it
-- is closed. Each request, whatever it asks for, is responded to with the text of `etcd.metrics()`.

local etcd = require "silly.store.etcd"
local uv = require "luv"

local HEAD = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
local LONGEST = 8192 -- bytes of a request

return function(host, port)
	local server = uv.new_tcp()
	assert(server:bind(host, port))
	assert(server:listen(16, function()
		local socket, request = uv.new_tcp(), ""
		server:accept(socket)
		socket:read_start(function(_, bytes)
			request = request .. (bytes or "")
			if not bytes or #request > LONGEST then
				socket:close()
			elseif request:find("\r\n\r\n", 1, true) then
				socket:read_stop()
				local text = etcd.metrics()
				socket:write(HEAD:format(#text) .. text, function() socket:close() end)
			end
		end)
	end))
	return server
end
