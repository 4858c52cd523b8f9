-- What becomes of a password. In: the endpoint of a server that wants a login, that of one which has none, root's
-- password backwards. Out: everything that the library can be made to say, for the spec to look through; an error when
-- the password is in memory after its clients have gone.

local host = require "host"
local etcd = require "silly.store.etcd"
local core = require "silly.store.etcd.core"

local endpoint, plain, reversed = ...
-- Its end: of what is freed the allocator overwrites the beginning.
local tail = reversed:sub(1, 16)

-- Never kept, so that what `scan` finds is the library's.
local function secret()
	return reversed:reverse()
end

-- Print a value and all that can be reached from it.
local shown = {}
local function show(...)
	for i = 1, select("#", ...) do
		local value = select(i, ...)
		print(value)
		if value ~= nil and not shown[value] and type(value) ~= "string" then
			shown[value] = true
			show(debug.getmetatable(value))
			if type(value) == "table" then
				for k, v in next, value do
					show(k, v)
				end
			elseif type(value) == "userdata" then
				for n = 1, 5 do
					show((debug.getuservalue(value, n)))
				end
			end
		end
	end
end

local function live()
	for _, conf in ipairs {
		{ password = secret() }, { user = "root", password = { secret() } }, { user = "root", pasword = secret() },
		{ user = "root", password = secret(), token = secret() }, { user = "root", password = secret() .. "\255" },
		{ endpoints = { "root:" .. secret() .. "@127.0.0.1:1" } }, { tls = { key = secret() .. "\n" } },
		{ tls = { cert = secret() .. "\n", key = secret() .. "\n" } }, { timeout = { secret() } },
	} do
		conf.endpoints = conf.endpoints or { plain }
		show(pcall(etcd.newclient, conf))
	end
	for _, conf in ipairs {
		{ user = "root", password = secret() }, { user = "nobody", password = secret() }, { token = secret() },
		{ token = secret() .. "\n" }, { user = "root", password = secret(), endpoints = { plain } },
		{ user = "root", password = secret(), endpoints = { "127.0.0.1:1" } },
		{ user = "root", password = secret(), endpoints = { "https://" .. endpoint } },
	} do
		conf.endpoints = conf.endpoints or { endpoint }
		conf.retry = 0
		local client = etcd.newclient(conf)
		show(client:put { key = "a", value = "v" })
		show(client:watch { key = "a" })
		show(client:grant { TTL = 60 })
		show(client)
		client:close()
		show(client, client:get { key = "a" })
	end
	-- A panic, with a login under way.
	local client = etcd.newclient { endpoints = { endpoint }, user = "root", password = secret(), retry = 0 }
	host.badclock(3, true)
	show(client:get { key = "a" })
	host.badclock(0, true)
end

-- Requests that are refused while they are read.
local function refused()
	-- Of a length that nothing else has, so that its place is not soon another's.
	local function long()
		local text = secret()
		return text .. text .. text .. text .. text .. text .. text .. text
	end
	local client = etcd.newclient { endpoints = { plain }, retry = 0 }
	for _, call in ipairs { "useradd", "userpassword" } do
		for _, req in ipairs {
			{ name = "a", password = long(), nopassword = true }, { name = {}, password = long() },
			{ name = "a", pasword = long() }, { name = "a", password = long() .. "\255" },
			{ password = long() }, { name = "a", password = long(), timeout = "x" }, long(),
		} do
			show(client.auth[call](client.auth, req))
		end
	end
	client:close()
	for _, conf in ipairs {
		{ password = long() }, { user = "root", pasword = long() }, { user = {}, password = long() },
		{ user = "root", password = long(), token = long() }, { user = "root", password = long() .. "\255" },
		{ endpoints = { "root:" .. long() .. "@127.0.0.1:1" } }, { tls = { key = long() .. "\n" } },
		{ tls = { key = long() .. "-----BEGIN" } }, { token = long() .. "\n", tls = 1 },
	} do
		conf.endpoints = conf.endpoints or { plain }
		show(pcall(etcd.newclient, conf))
	end
end

refused()
collectgarbage()
collectgarbage()
assert(host.scan(tail) == 0, "what was refused is still in memory")

live()
shown = nil
local kept = etcd.newclient { endpoints = { endpoint }, user = "root", password = secret() }
assert(kept:get { key = "a" })
collectgarbage()
collectgarbage()
assert(host.scan(tail) > 0, "the search finds nothing")
kept:close()
local deadline = core:monotonic() + 30000
while host.scan(tail) > 0 do
	assert(core:monotonic() < deadline, "the password is still in memory")
	core:wait(0.05)
end
