-- examples/follow.lua: what it tells of a range, and when it waits, reads anew and ends.
-- In: a client whose answers are written down here. Out: the calls that it makes of its two functions. How the samples
-- of the hosts follow a real etcd through faults is in hosts_spec and openresty_spec.

local follow = require "examples.follow"

local CLOSED = { nil, "closed", { code = "closed" } }

local function failed(code)
	return { nil, "it is " .. code, { code = code } }
end

-- What is read at a revision: keys and values in turn.
local function keys(revision, ...)
	local words, kvs = { ... }, {}
	for i = 1, #words, 2 do
		kvs[#kvs + 1] = { key = words[i], value = words[i + 1] }
	end
	return { { header = { revision = revision }, kvs = kvs } }
end

-- A response with one event; without a value it is a deletion.
local function event(key, value)
	return { { events = { { type = value and "PUT" or "DELETE", kv = { key = key, value = value or "" } } } } }
end

-- Follows by a client that gives these answers in turn. Returns what was asked and told, in order.
local function followed(answers)
	local seen = {}
	local function see(...)
		seen[#seen + 1] = table.concat({ ... }, " ")
	end
	local function answer()
		return table.unpack(table.remove(answers, 1), 1, 3)
	end
	local stream = {
		read = answer,
		close = function() see "close" end,
	}
	follow({
		get = answer,
		watch = function(_, request)
			see("watch", request.revision)
			local first, message, info = answer()
			return first and stream, message, info
		end,
	}, "", function(key, value) see(key, value or "gone") end, function(message) see("pause:", message) end)
	assert.are.same({}, answers)
	return seen
end

describe("follow", function()
	it("tells what is there, then what changes, each value once", function()
		assert.are.same({ "a 1", "b 1", "watch 8", "a 2", "b gone", "close" }, followed {
			keys(7, "a", "1", "b", "1"), { true }, event("a", "2"), event("a", "2"), event "b", CLOSED,
		})
	end)

	it("reads anew after a compaction, at once, and tells what has changed", function()
		assert.are.same({ "a 1", "b 1", "c 1", "watch 8", "close", "b 2", "d 1", "a gone", "watch 21", "close" }, followed {
			keys(7, "a", "1", "b", "1", "c", "1"), { true }, failed "compacted",
			keys(20, "b", "2", "c", "1", "d", "1"), { true }, CLOSED,
		})
	end)

	it("waits before it reads anew where anything else fails", function()
		assert.are.same({
			"pause: it is unavailable", "watch 8", "pause: it is deadline_exceeded", "watch 9", "close",
			"pause: it is permission_denied", "watch 10", "close",
		}, followed {
			failed "unavailable", keys(7), failed "deadline_exceeded", keys(8), { true }, failed "permission_denied",
			keys(9), { true }, CLOSED,
		})
	end)

	it("ends with its client, wherever it is", function()
		assert.are.same({}, followed { CLOSED })
		assert.are.same({ "watch 8" }, followed { keys(7), CLOSED })
		assert.are.same({ "watch 8", "close" }, followed { keys(7), { true }, CLOSED })
	end)
end)
