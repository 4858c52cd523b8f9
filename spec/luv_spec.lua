-- What programs on luv do with their coroutines and handles, each in a process of its own.
-- In: scripts that follow the same beginning. Out: what they print. Pending where luv is not installed.

local server = require "spec.support.etcd"

local BEGINNING = [[
	local uv = require "luv"
	local etcd = require "silly.store.etcd"
	local client = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" } }
	local prefix = os.tmpname()
	os.remove(prefix)

	local function go(f)
		local co = coroutine.create(f)
		assert(coroutine.resume(co))
		return co
	end

	local function noting(what)
		return setmetatable({}, { __close = function() print(what) end })
	end
]]

-- Runs a script and returns its output and exit status. It must end by itself.
local function run(script, version)
	local lua = "lua" .. (version or "5.4")
	if server.sh(("command -v %s && %s -e 'require \"luv\"'"):format(lua, lua)) ~= 0 then
		return nil
	end
	local name = os.tmpname()
	local file = assert(io.open(name, "w"))
	assert(file:write(BEGINNING, script))
	file:close()
	local status, output = server.sh(("LUA_PATH='lua/?.lua;;' LUA_CPATH='build/hosts/%s/?.so;;' timeout 60 %s %s 2>&1")
		:format(version or "5.4", lua, name))
	os.remove(name)
	return output, status
end

-- Asserts what a script prints.
local function prints(expected, script, version)
	local output, status = run(script, version)
	if not output then
		return pending "luv is not installed"
	end
	assert.are.same({ expected, 0 }, { output, status })
end

describe("on luv #hosts", function()
	it("f7: a reader whose coroutine is closed lets the loop end", function()
		prints("closed\n", [[
			go(function()
				local stream = assert(client:watch { key = prefix })
				local reader = go(function()
					local _ <close> = noting "closed"
					stream:read()
				end)
				assert(coroutine.close(reader))
			end)
			uv.run()
		]])
	end)

	it("f7: and another reader has what comes", function()
		prints("event\n", [[
			go(function()
				local stream = assert(client:watch { key = prefix })
				local first = go(function() stream:read() end)
				go(function()
					assert(stream:read())
					print "event"
					stream:close()
				end)
				assert(coroutine.close(first))
				assert(client:put { key = prefix, value = "" })
			end)
			uv.run()
		]])
	end)

	it("f4: a program that closes all handles can call again", function()
		for _, version in ipairs { "5.1", "5.4" } do
			prints("true\ttrue\n", [[
				local before, after
				go(function() before = client:get { key = prefix } end)
				uv.run()
				uv.walk(function(handle) handle:close() end)
				uv.run()
				go(function() after = client:get { key = prefix } end)
				uv.run()
				print(before ~= nil, after ~= nil)
			]], version)
		end
	end)

	it("f4: a start that fails once does not make the loop deaf", function()
		prints("false\tno handles\nanswer\n", [[
			local new = uv.new_poll
			uv.new_poll = function() uv.new_poll = new error("no handles", 0) end
			local co = coroutine.create(function() client:get { key = prefix } end)
			print(coroutine.resume(co))
			go(function()
				assert(client:get { key = prefix })
				print "answer"
			end)
			uv.run()
		]])
	end)

	it("f4: a start that fails leaves no read behind", function()
		for _, version in ipairs { "5.1", "5.3", "5.4" } do
			prints("false\tno handles\ntrue\n", [[
				local stream = assert(client:watch { key = prefix })
				local new, answer = uv.new_poll, nil
				uv.new_poll = function() uv.new_poll = new error("no handles", 0) end
				print(coroutine.resume(coroutine.create(function() stream:read() end)))
				go(function() answer = client:get { key = prefix } end)
				uv.run()
				print(answer ~= nil)
			]], version)
		end
	end)

	it("f4: a park that fails leaves no read behind", function()
		for _, version in ipairs { "5.3", "5.4" } do
			prints("false\tstuck\ntrue\n", [[
				local answer
				go(function()
					local stream = assert(client:watch { key = prefix })
					local yield = coroutine.yield
					coroutine.yield = function() coroutine.yield = yield error("stuck", 0) end
					print(etcd.pcall(stream.read, stream))
					answer = client:get { key = prefix }
				end)
				uv.run()
				print(answer ~= nil)
			]], version)
		end
	end)

	it("an iterator in which Lua 5.1 cannot wait says so before anything is sent", function()
		prints("read: failed_precondition: Lua 5.1 cannot suspend a coroutine in the iterator of a for loop; call this "
			.. "outside of it, or stream:read() in place of stream:events()\nno\n0\n", [[
			go(function()
				local stream = assert(client:watch { key = prefix })
				local _, message = etcd.pcall(function() for event in stream:events() do print(event) end end)
				print((message:gsub("^.-: ", "", 1)))
				for _ in function()
					local _, _, info = client:put { key = prefix, value = "" }
					print(info.applied)
				end do
					error "never"
				end
				for answer in function() return (client:put { key = prefix, value = "" }) end do
					error(answer)
				end
				for answer in function() return client:put { key = prefix, value = "" } end do
					error(answer)
				end
				print(client:get({ key = prefix }).count)
			end)
			uv.run()
		]], "5.1")
	end)

	it("a metamethod in which Lua 5.1 cannot wait leaves nothing for the next call", function()
		prints("false\ntrue\n", [[
			go(function()
				local object = setmetatable({}, { __index = function() return (client:get { key = prefix }) end })
				print((etcd.pcall(function() return object.field end)))
				print(assert(client:get { key = prefix }).count == 0)
			end)
			uv.run()
		]], "5.1")
	end)

	it("f3: a coroutine that fails is reported, and its variables are closed", function()
		prints("closed\nothers go on\n", [[
			local told = false
			io.stderr = { write = function(_, text)
				told = true
				assert(text:find("boom", 1, true))
			end }
			go(function()
				local _ <close> = noting "closed"
				assert(client:get { key = prefix })
				error "boom"
			end)
			go(function()
				repeat
					assert(client:get { key = prefix })
				until told
				print "others go on"
			end)
			uv.run()
		]])
	end)

	it("f10: an error object that cannot be shown ends nothing", function()
		for _, version in ipairs { "5.1", "5.4" } do
			prints("(error object is a table value)\ngoes on\n", [[
				local told = false
				io.stderr = { write = function(_, text)
					told = true
					print(text:match "[^\n]*")
				end }
				go(function()
					assert(client:get { key = prefix })
					error(setmetatable({}, { __tostring = function() error "worse" end }))
				end)
				go(function()
					repeat
						assert(client:get { key = prefix })
					until told
					assert(client:get { key = prefix })
					print "goes on"
				end)
				uv.run()
			]], version)
		end
	end)

	it("f8: a call in a generator ends as cancelled", function()
		for _, version in ipairs { "5.1", "5.4" } do
			prints("nil\tcancelled\tmaybe\n", [[
				local generate = coroutine.wrap(function()
					local answer, message, info = client:get { key = prefix }
					print(answer, info.code, info.applied)
				end)
				assert(tostring(generate()):find "generator")
				generate()
				uv.run()
			]], version)
		end
	end)

	it("f6: etcd.pcall and silly.pcall suspend their caller", function()
		for _, version in ipairs { "5.1", "5.4" } do
			prints("asks\nasks\nfalse\tboom\nfalse\tboom\ttrue\n", [[
				local silly = require "silly"
				local plain, traced
				local function ask()
					print "asks"
					assert(client:get { key = prefix })
					etcd.pcall(function() assert(client:get { key = prefix }) end)
					error("boom", 0)
				end
				go(function() plain = { etcd.pcall(ask) } end)
				go(function() traced = { silly.pcall(ask) } end)
				uv.run()
				print(plain[1], plain[2])
				print(traced[1], traced[2]:match "^%w+", traced[2]:find "stack traceback" ~= nil)
			]], version)
		end
	end)

	it("another loop with calls does not have it go round for ever", function()
		prints("calm\n", [[
			local other = require "spec.support.life.loop"
			local others = etcd.newclient { endpoints = { os.getenv "ETCD_ENDPOINTS" }, loop = other }
			local got = 0
			local function get(by)
				assert(by:get "x")
				got = got + 1
			end
			go(function() get(others) end)
			go(function() get(client) end)
			-- A timer of 100 ticks takes 100 turns, and few more.
			local turns, ticks, prepare, timer = 0, 0, uv.new_prepare(), uv.new_timer()
			prepare:start(function() turns = turns + 1 end)
			timer:start(5, 5, function()
				if got < 2 then
					turns = 0
					return
				end
				ticks = ticks + 1
				if ticks == 100 then
					timer:close()
					prepare:close()
				end
			end)
			uv.run()
			print(turns < 1000 and "calm" or turns .. " turns")
		]])
	end)

	it("f1: 1,000 coroutines that block do not nest", function()
		for _, version in ipairs { "5.1", "5.4" } do
			prints("1000\n", [[
				local ended = 0
				for i = 1, 1000 do
					go(function()
						assert(client:get { key = prefix })
						table.sort({ 2, 1 }, function(a, b) assert(client:get { key = prefix }) return a < b end)
						ended = ended + 1
					end)
				end
				uv.run()
				print(ended)
			]], version)
		end
	end)
end)
