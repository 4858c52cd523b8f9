-- The samples of the API document, each run unchanged by bin/silly-run, as a reader would who has pasted it.
-- In: spec/fixtures/silly.store.etcd.md, and a fresh etcd on 127.0.0.1:2379; where that port is taken, an etcd
-- elsewhere, and samples that differ from the document in the address alone.
-- Out: what each sample prints and its exit status. They run in the order of the document, since later ones find what
-- earlier ones have stored; those that sleep for seconds run together in the end.

local etcd = require "silly.store.etcd"
local support = require "spec.support.etcd"

local DOCUMENT = "spec/fixtures/silly.store.etcd.md"
local SUITE = os.getenv "ETCD_SUITE_DIR"
local ADDRESS = "127.0.0.1:2379"

-- Seconds until a sample that does not end is given up.
local PATIENCE = 90

-- What each sample prints, by its heading; # is a number that differs from run to run.
local EXPECTED = {
	["Module Import"] = "",
	["etcd.newclient(conf)"] = "etcd client created successfully\n",
	["client:put(req)"] = "Put successful, revision:\t#\nOld value:\tMyApp\nOld version:\t1\n",
	["client:get(req)"] = "DB Host:\tlocalhost\n"
		.. "Found\t2\tkeys with prefix config/db/\nconfig/db/host\t=\tlocalhost\nconfig/db/port\t=\t3306\n"
		.. "Key:\tconfig/app/name\nKey:\tconfig/cache/host\nKey:\tconfig/db/host\nKey:\tconfig/db/port\n",
	["client:delete(req)"] = "Deleted key:\ttemp/key1\nOld value:\tvalue1\nDeleted\t1\tkeys\n",
	["client:compact(req)"] = "Current revision:\t#\nCompaction successful\n",
	["client:grant(req)"] = "Lease granted, ID:\t#\tTTL:\t60\nKey associated with lease\n",
	["client:revoke(req)"] = "Key exists:\ttrue\nLease revoked\nKey exists after revoke:\tfalse\n",
	["client:ttl(req)"] = "Lease ID:\t#\nRemaining TTL:\t#\tseconds\nGranted TTL:\t60\tseconds\n"
		.. "Associated keys:\n" .. ("  -\tsession/user#\n"):rep(2), -- in any order, which is the server's
	["client:leases()"] = "Total leases:\t4\n" .. ("Lease\t#\tID:\t#\n"):rep(4),
	["client:keepalive(req)"] = "Keepalive success, new TTL:\t60\n",
	["client:watch(req)"] = "Watching config/ prefix...\n"
		.. "PUT:\tconfig/app\t=\tv1\nPUT:\tconfig/app\t=\tv2\nDELETE:\tconfig/app\n",
	["Example 1: Configuration Management"] = "Configuration stored\nFound\t2\tconfiguration items:\n"
		.. '/config/app/cache\t=>\t{"host":"localhost","port":6379}\n'
		.. '/config/app/database\t=>\t{"host":"localhost","name":"mydb","port":3306}\n',
	["Example 2: Service Discovery"] = "Service registered:\t/services/api-server/192.168.1.100:8080\n"
		.. "Found\t1\tservice instances:\n  - 192.168.1.100:8080 (version 1.0.0)\nService unregistered\n",
	["Example 3: Watching Configuration Changes"] = "Watching configuration changes...\n"
		.. "Initial config loaded:\t5\titems\n"
		.. 'Config updated:\t/config/app/timeout\nNew value:\t{"unit":"seconds","value":30}\n'
		.. 'Config updated:\t/config/app/timeout\nNew value:\t{"unit":"seconds","value":60}\n'
		.. "Config deleted:\t/config/app/timeout\n",
	["Example 4: Key-Value Version Control"] = "Creating document versions...\n"
		.. "Version 1 saved, revision: #\nVersion 2 saved, revision: #\nVersion 3 saved, revision: #\n"
		.. "Version 4 saved, revision: #\nVersion 5 saved, revision: #\n"
		.. "\nCurrent version:\n  Value:\tVersion 5 content\n  Version:\t5\n  Mod Revision:\t#\n  Create Revision:\t#\n"
		.. "\nHistorical version (2 revisions ago):\n  Value:\tVersion 3 content\n",
	["Example 5: Transactional Operations"] = "Initial values set\nCounter A:\t10\nCounter B:\t20\nSum:\t30\n"
		.. "\nCounters incremented\nCounter A:\t11\nCounter B:\t21\n",
	["Example 6: Health Check and Heartbeat"] = "Heartbeat registered with\t#\nMonitoring heartbeat...\n"
		.. "Stopping service...\nWARNING: Service heartbeat lost!\nService stopped\n",
	["Example 7: Graceful Shutdown and Resource Cleanup"] = "Registered:\t/temp/resource1\n"
		.. "Registered:\t/temp/resource2\nRegistered:\t/temp/resource3\nWorking...\nShutting down...\n"
		.. "Lease revoked, all resources cleaned up\nRemaining resources:\t#\nShutdown complete\n",
	["1. Coroutine Requirement"] = "",
	["2. Automatic Lease Keep-Alive"] = "",
	["3. Error Handling"] = "Put successful\nLease granted:\t#\n",
	["4. Watch Stream Lifecycle"] = "Watch ended:\twatch: closed: the watch is closed\n",
	["5. Key Name Conventions"] = "Found database config:\t2\titems\n",
	["6. Revision Numbers and Compaction"] = "Current revision:\t#\nCompacted to revision:\t#\n",
	["1. Batch Operations"] = "All keys written\n",
	["2. Use Prefix Queries"] = "DB config:\tnil\tnil\tnil\n",
	["3. Watch Filtering"] = "Deleted:\t/temp/sample\n",
	["4. Lease Reuse"] = "All keys registered with lease:\t#\nAll keys deleted\n",
	["5. Reasonable Retry Parameters"] = "",
}

-- These never end: a task of theirs reads from a watch that nobody closes. They are stopped by SIGTERM once they have
-- printed what is expected of them.
local ENDLESS = {
	["client:watch(req)"] = true,
	["Example 3: Watching Configuration Changes"] = true,
	["Example 6: Health Check and Heartbeat"] = true,
	["3. Watch Filtering"] = true,
}

-- These sleep for seconds. Others may run beside them, so that the keys below /temp/ are not theirs alone.
local SLOW = {
	["Example 2: Service Discovery"] = true,
	["Example 3: Watching Configuration Changes"] = true,
	["Example 6: Health Check and Heartbeat"] = true,
	["Example 7: Graceful Shutdown and Resource Cleanup"] = true,
	["2. Automatic Lease Keep-Alive"] = true,
	["4. Watch Stream Lifecycle"] = true,
	["4. Lease Reuse"] = true,
}

-- The document's variable `task` is missing in this one.
local BROKEN = "1. Coroutine Requirement"

-- This one watches deletions and makes none.
local FILTERED = "3. Watch Filtering"

-- The samples in order: { title = heading above it, source = text }.
local function samples()
	local list, title, lines = {}, nil, nil
	for line in io.lines(DOCUMENT) do
		if lines and line == "```" then
			list[#list + 1] = { title = title, source = table.concat(lines, "\n") .. "\n" }
			lines = nil
		elseif lines then
			lines[#lines + 1] = line
		elseif line == "```lua validate" then
			lines = {}
		else
			title = line:match("^#+ (.*)") or title
		end
	end
	return list
end

local function contents(path)
	local file = io.open(path)
	local text = file and file:read("*a")
	return file and file:close() and text or ""
end

local node, client

-- An etcd where the document expects it, if nobody else listens there.
local function serve()
	local dir = SUITE .. "/documented"
	local status, output = support.sh(("mkdir '%s' && echo 2379 2380 2381 >'%s/ports' && spec/support/etcd start '%s'")
		:format(dir, dir, dir))
	if status == 0 then
		return ADDRESS
	end
	assert.is_truthy(output:find("address already in use", 1, true), output)
	node = support.start()
	return node.endpoint
end

local endpoint

setup(function()
	endpoint = serve()
	client = etcd.newclient { endpoints = { endpoint } }
end)

teardown(function()
	client:close()
	support.sh(("spec/support/etcd stop '%s/documented'"):format(SUITE))
	if node then
		node:stop()
	end
end)

-- Starts a sample in the background.
local function start(sample)
	sample.path = ("%s/sample%d"):format(SUITE, sample.number)
	local file = assert(io.open(sample.path .. ".lua", "w"))
	file:write((sample.source:gsub("127%.0%.0%.1:2379", endpoint)))
	file:close()
	-- Lua 5.1 keeps what it prints to a file until the end, which a stopped sample has not.
	local command = "{ stdbuf -oL bin/silly-run PATH.lua >PATH.out 2>PATH.err & echo $! >PATH.pid; "
		.. "wait $!; echo $? >PATH.status; } 2>/dev/null &"
	assert(os.execute((command:gsub("PATH", sample.path))))
end

local function pattern(expected)
	return "^" .. expected:gsub("[%^$()%%.%[%]*+?-]", "%%%0"):gsub("#", "%%d+")
end

-- Waits until a sample has ended, or has printed what an endless one prints, and stops it then.
local function finish(sample)
	local expected, deadline = pattern(EXPECTED[sample.title]), os.time() + PATIENCE
	local status, out
	repeat
		if sample.title == FILTERED then
			client:put { key = "/temp/sample", value = "" }
			client:delete { key = "/temp/sample" }
		end
		status, out = contents(sample.path .. ".status"):match("%d+"), contents(sample.path .. ".out")
		if not status and ENDLESS[sample.title] and out:find(expected) then
			support.sh("kill -TERM $(cat " .. sample.path .. ".pid)")
		end
		support.sh("sleep 0.05")
	until status or os.time() > deadline
	return tonumber(status), out, contents(sample.path .. ".err")
end

local function check(sample)
	local status, out, err = finish(sample)
	local expected = EXPECTED[sample.title]
	local ending = ENDLESS[sample.title] and "" or "$"
	if not out:find(pattern(expected) .. ending) then
		assert.are.equal(expected, out)
	end
	if sample.title == BROKEN then
		assert.is_truthy(err:find("attempt to index a nil value (global 'task')", 1, true), err)
		assert.are.equal(1, status)
	else
		local ended = ENDLESS[sample.title]
		assert.are.equal(ended and "silly-run: terminated!\n" or "", err)
		assert.are.equal(ended and 128 + 15 or 0, status)
	end
end

local list = samples()
for number, sample in ipairs(list) do
	sample.number = number
end

describe("the samples of the API document", function()
	it("are the 30 of which the spec knows what they print", function()
		assert.are.equal(30, #list)
		local unknown = {}
		for title in pairs(EXPECTED) do
			unknown[title] = true
		end
		for _, sample in ipairs(list) do
			assert.is_true(unknown[sample.title], sample.title)
			unknown[sample.title] = nil
		end
	end)

	for _, sample in ipairs(list) do
		if not SLOW[sample.title] then
			it(sample.number .. ": " .. sample.title, function()
				start(sample)
				check(sample)
			end)
		end
	end
end)

describe("the samples that sleep", function()
	setup(function()
		for _, sample in ipairs(list) do
			if SLOW[sample.title] then
				start(sample)
			end
		end
	end)

	for _, sample in ipairs(list) do
		if SLOW[sample.title] then
			it(sample.number .. ": " .. sample.title, function() check(sample) end)
		end
	end
end)
