-- A TCP proxy that breaks all its connections every so often, and the first ones at once:
-- `lua5.4 cut.lua PORT TARGET SECONDS BROKEN`, both on 127.0.0.1.
-- Out: nothing; it listens until it is killed. Takes LuaSocket.

local socket = require "socket"

local port, target, period, broken = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])

local listener = assert(socket.bind("127.0.0.1", port))
local peers = {} -- a socket -> where its bytes go

local function close(one)
	local other = peers[one]
	peers[one] = nil
	one:close()
	if other and peers[other] then
		peers[other] = nil
		other:close()
	end
end

local function accept()
	local client = listener:accept()
	broken = broken - 1
	local server = broken < 0 and client and socket.connect("127.0.0.1", target)
	if not server then
		return client and client:close()
	end
	for _, one in ipairs { client, server } do
		one:settimeout(0)
		one:setoption("tcp-nodelay", true)
	end
	peers[client], peers[server] = server, client
end

-- Hands on what has come.
local function pass(one)
	local bytes, problem, rest = one:receive(65536)
	bytes = bytes or rest
	if bytes ~= "" then
		peers[one]:settimeout(5)
		problem = select(2, peers[one]:send(bytes))
		peers[one]:settimeout(0)
	end
	if problem and problem ~= "timeout" then
		close(one)
	end
end

local due = socket.gettime() + period
while true do
	local watched = { listener }
	for one in pairs(peers) do
		watched[#watched + 1] = one
	end
	for _, ready in ipairs((socket.select(watched, nil, math.max(0, due - socket.gettime())))) do
		if ready == listener then
			accept()
		elseif peers[ready] then
			pass(ready)
		end
	end
	if socket.gettime() >= due then
		due = socket.gettime() + period
		for one in pairs(peers) do
			one:close()
		end
		peers = {}
	end
end
