-- client:stm: a function whose reads and writes are one transaction. In: the etcd that all share, many tasks, other
-- processes, and a store whose history is compacted. Out: every revision of the store is one that some order of the
-- functions could have made.

local silly = require "silly"
local time = require "silly.time"
local waitgroup = require "silly.sync.waitgroup"
local etcd = require "silly.store.etcd"
local server = require "spec.support.etcd"

local client, prefix

setup(function()
	client = etcd.newclient { endpoints = { server.endpoint() } }
end)

teardown(function()
	client:close()
end)

before_each(function()
	prefix = server.prefix()
end)

local function value(key)
	local kv = assert(client:get(prefix .. key)).kvs[1]
	return kv and kv.value
end

local function put(key, to)
	return assert(client:put { key = prefix .. key, value = to })
end

-- Runs so many functions at once.
local function each(count, f)
	local all = waitgroup.new()
	for i = 1, count do
		all:fork(function() f(i) end)
	end
	all:wait()
end

describe("a transaction of code", function()
	it("sees what it has written, and writes it in one step", function()
		put("a1", "1")
		put("a2", "2")
		put("b", "3")
		local revision = put("c", "4").header.revision
		local response = assert(client:stm(function(tx)
			assert.is_nil(tx:get(prefix .. "none"))
			assert.are.equal("3", tx:get(prefix .. "b"))
			tx:put(prefix .. "b", "x")
			assert.are.equal("x", tx:get(prefix .. "b"))
			tx:put { key = prefix .. "a3", value = "y" }
			tx:delete(prefix .. "a1")
			assert.is_nil(tx:get(prefix .. "a1"))
			local seen = {}
			for i, kv in ipairs(tx:get { key = prefix .. "a", prefix = true }) do
				seen[i] = kv.key:sub(-2) .. kv.value
			end
			assert.are.same({ "a22", "a3y" }, seen)
			local last = tx:get { key = prefix .. "a", prefix = true, sort_order = "DESCEND", limit = 1, keys_only = true }
			assert.are.same({ prefix .. "a3", "", 1 }, { last[1].key, last[1].value, #last })
			-- A directory that is written anew.
			tx:delete { key = prefix .. "a", prefix = true }
			tx:put(prefix .. "a2", "z")
			assert.are.equal(1, #tx:get { key = prefix .. "a", prefix = true })
			return "done", "and more"
		end))
		assert.are.same({ "done", 1, revision + 1 }, { response.result, response.tries, response.header.revision })
		assert.are.same({ "z", "x", "4" }, { value "a2", value "b", value "c" })
		assert.is_nil(value "a1")
		assert.is_nil(value "a3")
		for _, key in ipairs { "a2", "b" } do
			assert.are.equal(revision + 1, assert(client:get(prefix .. key)).kvs[1].mod_revision)
		end
	end)

	it("reads one revision, whatever others write meanwhile", function()
		put("a", "1")
		put("b", "1")
		local runs = 0
		local response = assert(client:stm(function(tx)
			runs = runs + 1
			local a = tx:get(prefix .. "a")
			if runs == 1 then
				assert(client:txn { success = {
					{ put = { key = prefix .. "a", value = "2" } }, { put = { key = prefix .. "b", value = "2" } },
				} })
			end
			return a .. tx:get(prefix .. "b")
		end))
		-- It has written nothing, and what it has read was true together.
		assert.are.same({ "11", 1 }, { response.result, response.tries })
		assert.is_number(response.header.revision)
	end)

	it("runs again where others have changed what it has read, with that read anew", function()
		put("n", "1")
		local runs = 0
		local response = assert(client:stm(function(tx)
			runs = runs + 1
			local n = tonumber(tx:get(prefix .. "n"))
			if runs <= 3 then
				put("n", tostring(n + 10))
			end
			tx:put(prefix .. "n", tostring(n + 1))
			return n + 1
		end))
		assert.are.same({ 32, 4 }, { response.result, response.tries })
		assert.are.equal("32", value "n")
		local result, message, info = client:stm { tries = 3, apply = function(tx)
			put("n", tx:get(prefix .. "n") .. "0")
			tx:put(prefix .. "n", "")
		end }
		assert.is_nil(result)
		assert.are.equal("stm: aborted: others have changed what was read during each of 3 tries", message)
		assert.are.same({ "aborted", "no" }, { info.code, info.applied })
		assert.are.equal("32000", value "n")
	end)

	it("sees every change of a range: what comes, changes and goes", function()
		for _, change in ipairs {
			function() put("r/new", "1") end,
			function() put("r/a", "changed") end,
			function() assert(client:delete(prefix .. "r/b")) end,
			function()
				assert(client:delete(prefix .. "r/b"))
				put("r/b", "1")
			end,
		} do
			assert(client:delete { key = prefix, prefix = true })
			put("r/a", "1")
			put("r/b", "1")
			local runs = 0
			local response = assert(client:stm(function(tx)
				runs = runs + 1
				-- Of which one is returned: the others count all the same.
				assert.are.equal(1, #tx:get { key = prefix .. "r/", prefix = true, limit = 1 })
				if runs == 1 then
					change()
				end
				tx:put(prefix .. "seen", "1")
			end))
			assert.are.equal(2, response.tries)
		end
	end)

	it("is isolated as it is told: from changes to what it writes, or only to what it reads", function()
		for _, case in ipairs { { nil, 2 }, { "snapshot", 2 }, { "serializable", 1 } } do
			put("read", "1")
			local runs = 0
			local response = assert(client:stm { isolation = case[1], apply = function(tx)
				runs = runs + 1
				tx:get(prefix .. "read")
				if runs == 1 then
					put("written", "other")
				end
				tx:put(prefix .. "written", "mine")
			end })
			assert.are.equal(case[2], response.tries)
			assert.are.equal("mine", value "written")
		end
	end)

	it("compares what this run has read, not what earlier ones have", function()
		put("head", "0")
		local runs = 0
		local response = assert(client:stm(function(tx)
			runs = runs + 1
			local head = tonumber(tx:get(prefix .. "head"))
			tx:get(prefix .. "item" .. head)
			if runs < 100 then
				put("head", tostring(head + 1))
				if head > 0 then
					put("item" .. head - 1, "read by nobody any more")
				end
			end
			tx:put(prefix .. "seen", tostring(head))
			return head
		end))
		assert.are.same({ 99, 100 }, { response.result, response.tries })
	end)

	it("writes as many keys as it may compare", function()
		local function write(count, isolation)
			return client:stm { isolation = isolation, apply = function(tx)
				for i = 1, count do
					local key = ("%sm/%03d"):format(prefix, i)
					tx:put(key, (tx:get(key) or "") .. "x")
					tx:delete(prefix .. "none")
				end
				return count
			end }
		end
		assert.are.equal(127, assert(write(127)).result)
		assert.are.equal(127, assert(write(127, "serializable")).result)
		assert.are.equal("invalid_argument", select(3, write(129)).code)
	end)

	it("writes nothing by what is left of an earlier run", function()
		put("n", "1")
		local first
		assert(client:stm(function(tx)
			local n = tonumber(tx:get(prefix .. "n"))
			if not first then
				first = tx
				put("n", "2")
			else
				assert.has_error(function() first:put(prefix .. "late", "1") end, "put: the transaction is over")
			end
			tx:put(prefix .. "n", tostring(n + 1))
		end))
		assert.are.equal("3", value "n")
		assert.is_nil(value "late")
	end)

	it("fetches keys together, and reads them no more", function()
		put("a", "1")
		local response = assert(client:stm { keys = { prefix .. "a", prefix .. "b" }, apply = function(tx)
			put("a", "2")
			return { tx:get(prefix .. "a"), tx:get(prefix .. "b") }
		end })
		assert.are.same({ "1" }, response.result)
	end)

	it("is cancelled by what it returns, and by an error, which is raised as it was", function()
		local result, message, info = client:stm(function(tx)
			tx:put(prefix .. "a", "1")
			return nil, "not now"
		end)
		assert.are.same({ "stm: cancelled: not now", "cancelled", "no" }, { message, info.code, info.applied })
		assert.is_nil(result)
		local problem = {}
		local ok, raised = pcall(client.stm, client, function(tx)
			tx:put(prefix .. "a", "1")
			error(problem)
		end)
		assert.is_false(ok)
		assert.are.equal(problem, raised)
		assert.is_nil(value "a")
	end)

	it("ends with the first of its steps that fails, whatever the function catches", function()
		for _, step in ipairs {
			function(tx) return tx:get {} end, function(tx) return tx:put "a" end, function(tx) return tx:delete(1) end,
			function(tx) return tx:get { key = "a", revision = 1 } end,
			function(tx) return tx:put { key = "a", value = "b", prev_kv = true } end,
		} do
			local _, message, info = client:stm(function(tx)
				pcall(step, tx)
				pcall(tx.put, tx, prefix .. "a", "1")
				return 1
			end)
			assert.are.equal("invalid_argument", info.code)
			assert.matches("^stm%.%l+: ", message)
			assert.is_nil(value "a")
		end
		local kept
		assert(client:stm(function(tx) kept = tx end))
		assert.has_error(function() kept:get "a" end, "get: the transaction is over")
		local absent <close> = etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 0 }
		assert.are.equal("unavailable", select(3, absent:stm(function(tx) return tx:get "a" end)).code)
		assert.are.equal("deadline_exceeded", select(3, absent:stm { deadline = 0.05, retry = 1000, retry_sleep = 10,
			apply = function(tx) tx:put("a", "b") end }).code)
	end)

	it("does not begin once the client is closed", function()
		local own = etcd.newclient { endpoints = { server.endpoint() } }
		own:close()
		local result, message, info = own:stm(function() error "it has begun" end)
		assert.is_nil(result)
		assert.are.equal("stm: closed: the client is closed", message)
		assert.are.same({ "closed", "no" }, { info.code, info.applied })
	end)

	it("reads no range that it could not compare", function()
		local ops = {}
		for i = 1, 121 do
			ops[i] = { put = { key = ("%s%03d"):format(prefix, i), value = "" } }
		end
		assert(client:txn { success = ops })
		local _, message, info = client:stm(function(tx) return #tx:get { key = prefix, prefix = true } end)
		assert.are.equal("invalid_argument", info.code)
		assert.matches("has more than the 120 keys that a transaction reads of one", message)
		assert(client:delete(prefix .. "001"))
		assert.are.equal(120, assert(client:stm(function(tx)
			tx:put(prefix .. "other/x", "")
			return #tx:get { key = prefix, range_end = prefix .. "o" }
		end)).result)
	end)

	it("runs anew where the history of what it reads was compacted", function()
		local node = server.start()
		local own <close> = etcd.newclient { endpoints = { node.endpoint } }
		assert(own:put { key = "a", value = "1" })
		local runs = 0
		local response = assert(own:stm(function(tx)
			runs = runs + 1
			local a = tx:get "a"
			if runs == 1 then
				local revision = assert(own:put { key = "b", value = "1" }).header.revision
				assert(own:compact { revision = revision, physical = true })
			end
			return a .. tx:get "b"
		end))
		assert.are.same({ "11", 2 }, { response.result, response.tries })
		node:kill()
	end)

	it("counts what many do at once, each once", function()
		put("n", "0")
		silly.run(function()
			each(20, function()
				for _ = 1, 5 do
					assert(client:stm(function(tx)
						local n = tonumber(tx:get(prefix .. "n"))
						time.sleep(1)
						tx:put(prefix .. "n", tostring(n + 1))
					end))
				end
			end)
		end)
		assert.are.equal("100", value "n")
	end)

	it("keeps the sum of all accounts at every revision, under transfers of tasks and processes", function()
		local ACCOUNTS, EACH, TASKS, TRANSFERS = 10, 100, 20, 10
		local first
		for i = 1, ACCOUNTS do
			first = put(("account/%02d"):format(i), tostring(EACH)).header.revision
		end
		local body = ([[
			local function account(i) return ("%saccount/%%02d"):format(i) end
			local function transfer()
				local from, to = account(math.random(%d)), account(math.random(%d))
				return assert(client:stm(function(tx)
					local a, b = tonumber(tx:get(from)), tonumber(tx:get(to))
					local amount = math.random(0, a)
					if from ~= to then
						tx:put(from, tostring(a - amount))
						tx:put(to, tostring(b + amount))
					end
				end))
			end
		]]):format(prefix, ACCOUNTS, ACCOUNTS)
		local pipes = {}
		for i = 1, 2 do
			local path = os.tmpname()
			local file = assert(io.open(path, "w"))
			file:write(([[
				package.path, package.cpath = %q, %q
				math.randomseed(%d)
				local client = require "silly.store.etcd".newclient { endpoints = { %q }, namespace = %q }
			]]):format(package.path, package.cpath, i, server.endpoint(), server.namespace), body,
				("for _ = 1, %d do transfer() end io.write 'done'"):format(TASKS * TRANSFERS / 4))
			file:close()
			pipes[i] = assert(io.popen("timeout 60 " .. (os.getenv "LUA" or "lua5.4") .. " " .. path))
		end
		local transfer = assert(load("local client = ... " .. body .. " return transfer"))(client)
		silly.run(function()
			each(TASKS, function()
				for _ = 1, TRANSFERS do
					transfer()
				end
			end)
		end)
		for _, pipe in ipairs(pipes) do
			assert.are.equal("done", pipe:read "*a")
			pipe:close()
		end
		-- The history, revision by revision.
		local balances, sums = {}, 0
		local last = assert(client:get(prefix)).header.revision
		local stream <close> = assert(client:watch { key = prefix .. "account/", prefix = true, revision = first + 1 })
		for i = 1, ACCOUNTS do
			balances[("%saccount/%02d"):format(prefix, i)] = EACH
		end
		put("account/zz", "0")
		local at, done = nil, false
		local function check()
			local sum = 0
			for _, balance in pairs(balances) do
				assert.is_true(balance >= 0)
				sum = sum + balance
			end
			assert.are.equal(ACCOUNTS * EACH, sum, at)
			sums = sums + 1
		end
		while not done do
			for _, event in ipairs(assert(stream:read(30)).events) do
				if at and at ~= event.kv.mod_revision then
					check()
				end
				at = event.kv.mod_revision
				balances[event.kv.key] = tonumber(event.kv.value)
				done = at > last
			end
		end
		check()
		assert.is_true(sums > TASKS * TRANSFERS / 2, sums)
	end)

	it("lets no two write what each has read of the other", function()
		for _, isolation in ipairs { "snapshot", "serializable" } do
			put("x", "1")
			put("y", "1")
			silly.run(function()
				local zeros = 0
				each(10, function(i)
					-- One of both may go, not the other too.
					local mine, other = prefix .. "x", prefix .. "y"
					if i % 2 == 0 then
						mine, other = other, mine
					end
					assert(client:stm { isolation = isolation, apply = function(tx)
						local a, b = tx:get(mine), tx:get(other)
						time.sleep(2)
						if a == "1" and b == "1" then
							tx:put(mine, "0")
						end
					end })
				end)
				for _, key in ipairs { "x", "y" } do
					zeros = zeros + (value(key) == "0" and 1 or 0)
				end
				assert.are.equal(1, zeros)
			end)
		end
	end)
end)
