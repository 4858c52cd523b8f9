-- What clients count. In: calls, breaks, leases, watches, locks and caches of this process, on etcds of the project's
-- own. Out: the numbers of `stats`, and the text of `metrics` as Prometheus' own parser reads it.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local HANG = 60 -- seconds, after which a read is taken to hang

-- Each reason has its sample from the start: Prometheus sees no rise in a series that begins with 1.
local NONE_LOST = { gone = 0, refused = 0, unanswered = 0 }

-- Reads a text as Prometheus does, and prints each sample: family, kind, sample, labels in their order, number.
local PARSER = [[
import sys
from prometheus_client.parser import text_string_to_metric_families
seen = set()
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in seen, family.name
    seen.add(family.name)
    assert family.documentation, family.name
    for sample in family.samples:
        labels = sorted(sample.labels.items())
        assert (sample.name, str(labels)) not in seen, sample
        seen.add((sample.name, str(labels)))
        shown = ",".join("%s=%s" % label for label in labels)
        print("%s %s{%s} %s" % (family.type, sample.name, shown, sample.value))
]]

-- The samples of a text, by what stands before the number.
---@return table<string, number>
local function parsed(text)
	local program, input = os.tmpname(), os.tmpname()
	for path, content in pairs { [program] = PARSER, [input] = text } do
		local file = assert(io.open(path, "w"))
		file:write(content)
		file:close()
	end
	local status, output = server.sh(("/usr/bin/python3 %s < %s"):format(program, input))
	os.remove(program)
	os.remove(input)
	assert(status == 0, output)
	local samples = {}
	for name, number in output:gmatch "([^\n]*) (%S+)\n" do
		samples[name] = tonumber(number)
	end
	return samples
end

local client, prefix

before_each(function()
	prefix = server.prefix()
	client = etcd.newclient { endpoints = { server.endpoint() }, name = "spec" }
end)

after_each(function()
	client:close()
end)

-- Looks until `is` holds of the numbers.
local function await(is)
	local stats
	for _ = 1, HANG * 50 do
		stats = assert(client:stats())
		if is(stats) then
			return stats
		end
		os.execute "sleep 0.02"
	end
	error "what is awaited does not come"
end

describe("stats", function()
	it("counts calls by what has come of them", function()
		assert(client:put { key = prefix, value = "1" })
		for _ = 1, 3 do
			assert(client:get(prefix))
		end
		assert.is_nil((client:get { key = prefix, revision = 2 ^ 40 }))
		assert(client.maintenance:alarms())
		local stats = assert(client:stats())
		assert.are.same({ put = { ok = 1 }, get = { ok = 3, out_of_range = 1 }, ["maintenance.alarms"] = { ok = 1 } },
			stats.calls_total)
		assert.are.same({ put = 0, get = 0, ["maintenance.alarms"] = 0 }, stats.calls_inflight)
		local took = stats.call_seconds.get
		assert.are.equal(4, took.count)
		assert.is_true(took.sum > 0)
		assert.are.same({ 0.001, 10 }, { took.buckets[1].le, took.buckets[#took.buckets].le })
		assert.are.equal(4, took.buckets[#took.buckets].count)
		assert.are.same({ first = 4, retry = 0, failover = 0, login = 0, reconnect = 0 }, stats.attempts_total.get)
	end)

	it("counts the connections and bytes of each endpoint", function()
		local endpoint = server.endpoint()
		local stats = assert(client:stats())
		assert.are.same({ { ok = 0, failed = 0 }, 0 }, { stats.connections_total[endpoint], stats.connected[endpoint] })
		assert(client:put { key = prefix, value = ("x"):rep(5000) })
		assert(client:get(prefix))
		stats = assert(client:stats())
		assert.are.same({ { ok = 1, failed = 0 }, 1 }, { stats.connections_total[endpoint], stats.connected[endpoint] })
		local bytes = stats.bytes_total[endpoint]
		assert.is_true(bytes.sent > 5000 and bytes.sent < 8000, bytes.sent)
		assert.is_true(bytes.received > 5000 and bytes.received < 8000, bytes.received)
		assert.is_true(stats.connection_rtt_seconds[endpoint] > 0)
	end)

	it("counts leases, watches, locks, registrations and caches", function()
		local lease = assert(client:grant(60))
		local stream = assert(client:watch { key = prefix, prefix = true })
		local copy = assert(client:cache { key = prefix, prefix = true })
		local lock = assert(client:lock(prefix .. "/lock"))
		local entry = assert(client:register { key = prefix .. "/entry", value = "v" })
		assert(client:put { key = prefix .. "/a", value = "1", lease = lease.ID })
		assert(stream:read(HANG))
		local stats = await(function(now) return (now.cache_keys[prefix .. "*"] or 0) >= 3 end)
		assert.are.equal(3, stats.leases)
		assert.is_true(stats.lease_margin_seconds > 0 and stats.lease_margin_seconds <= 60)
		assert.are.same({ 1, 1 }, { stats.locks_held, stats.lock_wait_seconds.count })
		assert.are.same(NONE_LOST, stats.leases_lost_total)
		assert.are.equal(1, stats.registrations)
		assert.is_true(stats.watches.ready >= 2)
		assert.is_true(stats.events_total >= 3)
		assert.are.same({ 1, 0 }, { stats.cache_loads_total[prefix .. "*"], stats.cache_lag_seconds[prefix .. "*"] })
		assert.is_true(stats.cache_revision[prefix .. "*"] > 0)
		copy:close()
		stream:close()
		assert(lock:unlock())
		entry:close()
		stats = await(function(now) return now.leases == 1 and now.registrations == 0 end)
		assert.are.equal(0, stats.locks_held)
		assert.are.same({}, stats.locks_lost_total)
		assert.are.same({}, stats.cache_keys)
	end)

	it("is the same through a namespace", function()
		local inner = assert(client:namespace(prefix))
		assert(inner:put { key = "a", value = "1" })
		assert.are.same({ put = { ok = 1 } }, assert(client:stats()).calls_total)
		assert.are.same(client:stats().calls_total, inner:stats().calls_total)
		assert.are.equal(1, parsed(inner:metrics())["counter etcd_client_calls_total{call=put,client=spec,code=ok}"])
	end)
end)

describe("what goes wrong", function()
	local node, own

	before_each(function()
		node = server.start()
		own = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 50, name = "own" }
		client:close()
		client = own
	end)

	after_each(function()
		own:close()
		node:kill()
	end)

	it("is seen: a server that goes and comes back, with what hung on it", function()
		local endpoint = node.endpoint
		local stream = assert(own:watch(prefix))
		local lease = assert(own:grant(60))
		assert(own:put { key = prefix, value = "1" })
		assert(stream:read(HANG))
		node:stop()
		await(function(now) return now.connected[endpoint] == 0 end)
		assert.is_nil((own:put { key = prefix, value = "2", retry = 1 }))
		local stats = await(function(stats) return stats.watches.stale == 1 and stats.connected[endpoint] == 0 end)
		assert.are.same({ ok = 1, unavailable = 1 }, stats.calls_total.put)
		assert.are.equal(1, stats.attempts_total.put.retry)
		assert.are.equal(1, stats.leases)
		assert.is_true(stats.lease_margin_seconds < 60)
		await(function(now) return now.connections_total[endpoint].failed > 0 end)
		node:start()
		assert(own:put { key = prefix, value = "3" })
		assert(stream:read(HANG))
		stats = await(function(now) return now.watches.ready == 1 and now.connected[endpoint] == 1 end)
		assert.is_true(stats.watch_resumes_total >= 1)
		assert.are.same({}, stats.watch_ends_total)
		assert(own:revoke(lease.ID))
		assert.are.same(NONE_LOST, assert(own:stats()).leases_lost_total)
	end)

	it("is seen: a lease, a lock and a registration that are taken away", function()
		local lock = assert(own:lock(prefix .. "/lock"))
		local entry = assert(own:register { key = prefix .. "/entry", value = "v" })
		local other <close> = etcd.newclient { endpoints = { node.endpoint } }
		for _, lease in ipairs(assert(other:leases()).leases) do
			assert(other:revoke(lease.ID))
		end
		assert(lock:wait(HANG))
		local stats = await(function(now)
			return now.registrations_lost_total == 1 and now.locks_held == 0 and next(now.locks_lost_total)
		end)
		local lost = 0
		for _, count in pairs(stats.locks_lost_total) do
			lost = lost + count
		end
		assert.are.equal(1, lost)
		entry:close()
	end)

	it("is seen: a watch that is compacted away", function()
		assert(own:put { key = prefix, value = "1" })
		local last = assert(own:put { key = prefix, value = "2" }).header.revision
		assert(own:compact { revision = last, physical = true })
		local stream = assert(own:watch { key = prefix, revision = 1 })
		assert.are.equal("compacted", select(3, stream:read(HANG)).code)
		assert.are.same({ compacted = 1 }, assert(own:stats()).watch_ends_total)
	end)
end)

describe("metrics", function()
	it("is the text that Prometheus reads, of one client or of all", function()
		local second <close> = etcd.newclient { endpoints = { server.endpoint() }, name = "spec" }
		local third <close> = etcd.newclient { endpoints = { server.endpoint() }, name = 'a "b"\\c' }
		local closed = etcd.newclient { endpoints = { server.endpoint() }, name = "closed" }
		assert(closed:get(prefix))
		closed:close()
		local copy <close> = assert(client:cache(prefix .. 'quoted "\\\n key')) -- luacheck: ignore
		assert(client:get(prefix))
		assert(second:get(prefix))
		assert(second:get(prefix))
		assert(third:get(prefix))
		local samples = parsed(etcd.metrics())
		local got = "counter etcd_client_calls_total{call=get,client=%s,code=ok}"
		assert.are.equal(2, samples[got:format "spec#2"])
		assert.are.equal(1, samples[got:format 'a "b"\\c'])
		assert.is_nil(samples[got:format "closed"])
		assert.are.equal(2, samples["histogram etcd_client_call_seconds_bucket{call=get,client=spec#2,le=+Inf}"])
		assert.are.equal(2, samples["histogram etcd_client_call_seconds_count{call=get,client=spec#2}"])
		assert.is_number(samples["gauge etcd_client_lua_queue{}"])
		assert.are.equal(1, parsed(second:metrics())[("gauge etcd_client_connected{client=spec#2,endpoint=%s}"):format(
			server.endpoint())] )
		assert.is_nil(parsed(second:metrics())[got:format "spec"])
	end)

	it("has every name of the reference, and no other", function()
		local lease = assert(client:grant(60))
		local copy <close> = assert(client:cache(prefix)) -- luacheck: ignore
		local documented, told = {}, {}
		for line in io.lines "docs/reference/metrics.md" do
			local name, kind = line:match "^| `([%w_]+)` | (%l+) |"
			if name then
				documented[name] = kind
			end
		end
		for name in pairs(assert(client:stats())) do
			told[name] = documented[name] or "not there"
		end
		assert.are.same(documented, told)
		assert(client:revoke(lease.ID))
	end)

	it("shows no value and no secret", function()
		local secret = "hush-hush"
		client:close()
		client = etcd.newclient { endpoints = { server.endpoint() }, user = "root", password = secret }
		assert(client:put { key = prefix, value = secret })
		local copy <close> = assert(client:cache(prefix)) -- luacheck: ignore
		assert.is_nil(etcd.metrics():find(secret, 1, true))
	end)
end)
