-- What happens to a client is told: to a coroutine that reads it, and to a function, which the loop calls.

return {
	{ name = "to a reader", run = function(t)
		local client = t.client { level = "info" }
		local records = assert(client:records())
		assert(client:get { key = t.prefix })
		local record = assert(records:read(60))
		t.equal({ "info", "connected", t.endpoint }, { record.level, record.event, record.endpoint })
		t.equal({ nil, "timeout" }, { (records:read(0.02)), (select(2, records:read(0))) })
		client:close()
		t.fails("closed", records:read())
	end },

	{ name = "to a function, and nobody waits for that", run = function(t)
		local told = {}
		local client = t.client { level = "info", log = function(level, _, record)
			told[#told + 1] = level .. " " .. record.event
		end }
		for _ = 1, 1000 do
			assert(client:get { key = t.prefix })
			if told[1] then
				break
			end
		end
		t.equal({ "info connected" }, told)
		client:close()
	end },
}
