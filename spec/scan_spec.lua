-- client:scan: all keys of a range as they were at one revision. In: the etcd that all share, and etcds of the spec's
-- own. Out: the keys, whatever happens between two pages.

local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local client, prefix

-- Puts so many keys, some in a transaction.
local function fill(count, value)
	for from = 1, count, 100 do
		local puts = {}
		for i = from, math.min(from + 99, count) do
			puts[#puts + 1] = { put = { key = ("%s%06d"):format(prefix, i), value = value or tostring(i) } }
		end
		assert(client:txn { success = puts })
	end
end

-- The keys of a scan, and how many pages they came in.
local function all(scan)
	local kvs, pages = {}, 0
	while true do
		local page, message = scan:read()
		if not page then
			assert(not message, message)
			return kvs, pages
		end
		pages = pages + 1
		for _, kv in ipairs(page.kvs) do
			kvs[#kvs + 1] = kv
		end
	end
end

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	prefix = server.prefix()
end)

describe("a scan", function()
	it("reads what `get` reads, page by page", function()
		fill(1500)
		local range = { key = prefix, prefix = true }
		local got = assert(client:get(range))
		for _, page in ipairs { 1000, 100, 7 } do
			local scan <close> = assert(client:scan { key = prefix, prefix = true, page = page })
			assert.are.equal(got.header.revision, scan.revision)
			assert.are.equal(got.header.cluster_id, scan.header.cluster_id)
			assert.are.equal(1500, scan.count)
			local kvs, pages = all(scan)
			assert.are.same(got.kvs, kvs)
			assert.is_true(pages >= 1500 / page)
			assert.is_nil(scan:read())
		end
		local names = {}
		for kv in assert(client:scan { key = prefix, prefix = true, keys_only = true }):kvs() do
			assert.are.equal("", kv.value)
			names[#names + 1] = kv.key
		end
		assert.are.equal(1500, #names)
	end)

	it("ends with one page where there is one, a key, or nothing", function()
		fill(3)
		for _, case in ipairs {
			{ { key = prefix, prefix = true }, 3 }, { { key = prefix, prefix = true, limit = 2 }, 2 },
			{ prefix .. "000002", 1 }, { prefix .. "absent", 0 }, { { key = prefix, prefix = true, page = 1 }, 3 },
			{ { key = prefix, prefix = true, page = 1, limit = 2 }, 2 },
			{ { key = prefix .. "000002", range_end = prefix .. "000003" }, 1 },
		} do
			local scan = assert(client:scan(case[1]))
			assert.are.equal(case[2], #all(scan))
		end
	end)

	it("says with each page whether another follows", function()
		fill(5)
		local scan = assert(client:scan { key = prefix, prefix = true, page = 2 })
		local more = {}
		for page in function() return scan:read() end do
			more[#more + 1] = page.more
			assert.are.equal(5, page.count)
		end
		assert.are.same({ true, true, false }, more)
	end)

	it("sees one revision, whatever others write meanwhile", function()
		fill(3000, "old")
		local scan = assert(client:scan { key = prefix, prefix = true, page = 50 })
		fill(3000, "new")
		assert(client:delete { key = prefix .. "0015", prefix = true })
		assert(client:put { key = prefix .. "000001x", value = "new" })
		local kvs = all(scan)
		assert.are.equal(3000, #kvs)
		for i, kv in ipairs(kvs) do
			assert.are.equal(("%s%06d"):format(prefix, i), kv.key)
			assert.are.equal("old", kv.value)
			assert.is_true(kv.mod_revision <= scan.revision)
		end
		local again = assert(client:scan { key = prefix, prefix = true, revision = scan.revision })
		assert.are.equal(scan.revision, again.revision)
		assert.are.same(kvs, all(again))
	end)

	it("makes pages of about a MiB, whatever the values are", function()
		for i = 1, 100 do
			assert(client:put { key = ("%s%06d"):format(prefix, i), value = ("x"):rep(100000) })
		end
		local scan = assert(client:scan { key = prefix, prefix = true })
		local sizes = {}
		for page in function() return scan:read() end do
			sizes[#sizes + 1] = #page.kvs
		end
		-- Nobody knew before the first page.
		assert.are.equal(64, sizes[1])
		for i = 2, #sizes do
			assert.is_true(sizes[i] <= 32, table.concat(sizes, " "))
		end
	end)

	it("tells a compaction, and leaves nothing out", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint } }
		for i = 1, 100 do
			assert(own:put { key = ("k%03d"):format(i), value = "" })
		end
		local scan = assert(own:scan { key = "k", prefix = true, page = 10 })
		local revision = assert(own:put { key = "other", value = "" }).header.revision
		assert(own:compact { revision = revision, physical = true })
		local read = 0
		local ok, problem = pcall(function()
			for _ in scan:kvs() do
				read = read + 1
			end
		end)
		assert.is_false(ok)
		assert.is_truthy(problem:find("scan: compacted: ", 1, true), problem)
		assert.is_true(read <= 20)
		local _, message, info = scan:read()
		assert.are.equal("compacted", info.code, message)
		_, message, info = own:scan { key = "k", prefix = true, revision = 2 }
		assert.are.equal("compacted", info.code, message)
		node:kill()
	end)

	it("goes on where the server was gone between two pages", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, retry = 100, retry_sleep = 100 }
		for i = 1, 100 do
			assert(own:put { key = ("k%03d"):format(i), value = "" })
		end
		local scan = assert(own:scan { key = "k", prefix = true, page = 10 })
		assert.are.equal(10, #assert(scan:read()).kvs)
		node:kill()
		node:start()
		assert.are.equal(90, #all(scan))
		node:kill()
	end)

	it("is closed by its user, by its client, and when it is forgotten", function()
		fill(500)
		local own = etcd.newclient { endpoints = { server.endpoint() } }
		local scan = assert(own:scan { key = prefix, prefix = true, page = 10 })
		assert.are.equal("silly.store.etcd.scan: " .. tostring(own), tostring(scan))
		local keys = 0
		for _ in scan:kvs() do
			keys = keys + 1
			if keys == 5 then
				scan:close()
			end
		end
		-- A loop ends with the page that it has.
		assert.are.equal(10, keys)
		local _, message, info = scan:read()
		assert.are.same({ "scan: closed: the scan is closed", "closed" }, { message, info.code })
		scan:close()
		assert.is_truthy(tostring(scan):find "%(closed%)$")

		scan = assert(own:scan { key = prefix, prefix = true, page = 10 })
		own:close()
		local ok, problem = pcall(function()
			for _ in scan:kvs() do end
		end)
		assert.is_false(ok)
		assert.is_truthy(problem:find("scan: closed: the client is closed", 1, true), problem)
	end)

	it("waits for as long as it is told", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint }, retry = 0, timeout = 60 }
		for i = 1, 40 do
			assert(own:put { key = ("k%03d"):format(i), value = "" })
		end
		local scan <close> = assert(own:scan { key = "k", prefix = true, page = 10 })
		node:pause()
		local message, info
		repeat
			local page
			page, message, info = scan:read(0.1)
		until not page
		assert.are.same({ "timeout", "timeout" }, { message, info.code })
		node:resume()
		assert.is_true(#all(scan) > 0)
		node:kill()
	end)

	it("begins within its deadline, which later pages do not have", function()
		fill(50)
		local scan = assert(client:scan { key = prefix, prefix = true, page = 10, deadline = 0.3 })
		os.execute "sleep 0.4"
		assert.are.equal(50, #all(scan))
		local absent <close> = etcd.newclient { endpoints = { "127.0.0.1:1" } }
		local _, _, info = absent:scan { key = "a", deadline = 0.1 }
		assert.are.equal("deadline_exceeded", info.code)
	end)

	-- What is held, not what the collector has not come to yet.
	it("holds the memory of two pages", function()
		fill(4000, ("v"):rep(2000))
		collectgarbage()
		local before = collectgarbage "count"
		local most, count = 0, 0
		for _ in assert(client:scan { key = prefix, prefix = true, page = 100 }):kvs() do
			count = count + 1
			if count % 50 == 0 then
				collectgarbage()
				most = math.max(most, collectgarbage "count" - before)
			end
		end
		assert.are.equal(4000, count)
		assert.is_true(most < 1000, most)
	end)
end)
