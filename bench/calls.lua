-- Makes so many calls and ends: the programs of spec/conformance/hosts/ run this in place of the suite, under strace.
--
-- In: what the cases work with (see spec/conformance/suite.lua); $OPERATION, `get` by one caller or `event` by one
-- reader, and their number, $COUNT. Somebody else puts the events.

local operation, count = os.getenv "OPERATION", tonumber(os.getenv "COUNT")

local run = {}

function run.get(client)
	for _ = 1, count do
		assert(client:get { key = "bench/one" })
	end
end

function run.event(client)
	local stream = assert(client:watch { key = "bench/event" })
	for _ = 1, count do
		assert(stream:read())
	end
	stream:close()
end

---@param t table  what the suite's cases work with
---@return integer failures
return function(t)
	local host, client = t.host, t.client()
	local ended = false
	host.run(function()
		run[operation](client)
		client:close()
		ended = true
	end)
	if ended and host.leave then
		host.run(host.leave)
	end
	return ended and 0 or 1
end
