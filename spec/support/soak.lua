-- Mixed load for a long time: calls, watches and leases of many tasks, while the server comes and goes.
-- In: endpoint, seconds, a file with a line for each fault (its name, from when, to when), where to write the table and
-- the drawing. Out: a line every few seconds: memory, descriptors, threads, calls; an error if an event is lost or
-- repeated, if a descriptor or a thread is left over, or if memory grows by more than 1 MiB per million calls.

local etcd = require "silly.store.etcd"
local silly = require "silly"
local time = require "silly.time"
local waitgroup = require "silly.sync.waitgroup"

local endpoint, seconds, faults_path, table_path, drawing_path = ...
seconds = tonumber(seconds)

local WRITERS, READERS, LESSEES = 16, 16, 4
local PAUSE = 20 -- milliseconds between two calls of a task
local STEP = math.max(1000, seconds * 10) -- milliseconds between two lines, a hundred of them at the most

local started, started_at = time.monotonic(), time.now() / 1000
local running = true
local broken -- the first error in a task
local group = waitgroup.new()
local calls, failures, events, leases = 0, 0, 0, 0

local function elapsed()
	return (time.monotonic() - started) / 1000
end

local function fork(func, ...)
	local arguments = table.pack(...)
	group:fork(function()
		local ok, message = xpcall(func, debug.traceback, table.unpack(arguments))
		if not ok then
			broken = broken or message
		end
	end)
end

local function connect()
	return etcd.newclient { endpoints = { endpoint }, retry_sleep = 100, retry = 100 }
end

-- A write whose answer is lost may have happened, so it is only counted.
local function count(answer, message, info)
	calls = calls + 1
	if not answer then
		failures = failures + 1
		assert(info.code ~= "internal" and info.code ~= "invalid_argument", message)
	end
	return answer
end

-- Writes to a key of its own, and sees each write on a watch once, in order.
local function writer(client, i)
	local key = "soak/" .. i
	local stream = assert(client:watch { key = key })
	-- The revisions that only one of the two has heard of, the answers or the watch.
	local answered, watched = {}, {}
	fork(function()
		local ended, answer
		repeat
			silly.sleep(PAUSE)
			ended = not running
			answer = count(client:put { key = key, value = ended and "end" or "" })
			if answer then
				local revision = answer.header.revision
				answered[revision] = not watched[revision] or nil
				watched[revision] = nil
			end
		-- The last one is certain to be there.
		until ended and answer
	end)
	local last, ended = 0, false
	for event in stream:events() do
		local revision = event.kv.mod_revision
		assert(revision > last, "an event came twice, or out of order")
		last = revision
		events = events + 1
		watched[revision] = not answered[revision] or nil
		answered[revision] = nil
		ended = event.kv.value == "end"
		if ended then
			break
		end
	end
	assert(ended, "a watch has ended")
	for revision in pairs(answered) do
		assert(revision > last, "an event was lost")
	end
	stream:close()
end

local function reader(client, i)
	while running do
		count(client:get { key = "soak/", prefix = true, keys_only = i % 2 == 0 })
		count(client:txn {
			compare = { { target = "VERSION", key = "soak/none", result = "EQUAL", version = 0 } },
			success = { { get = { key = "soak/" .. i } } },
		})
		silly.sleep(PAUSE)
	end
end

-- Leases come and go, on clients that come and go.
local function lessee()
	while running do
		local client = connect()
		local lease = count(client:grant { TTL = 5 })
		if lease then
			leases = leases + 1
			count(client:put { key = "soak/lease/" .. leases % 10, value = "", lease = lease.ID })
			local stream = client:watch { key = "soak/lease/", prefix = true }
			silly.sleep(500)
			if stream then
				stream:close()
			end
			count(client:revoke { ID = lease.ID })
		end
		client:close()
	end
end

-- Forgets what no watch can be behind, so that the server stays small.
local function compactor(client)
	local old, due = nil, 0
	while running do
		if elapsed() >= due then
			local now = count(client:get { key = "soak/", count_only = true })
			if old then
				count(client:compact { revision = old })
			end
			old, due = now and now.header.revision, elapsed() + 20
		end
		silly.sleep(1000)
	end
end

local function status(name)
	for line in io.lines("/proc/self/status") do
		local value = line:match("^" .. name .. ":%s*(%d+)")
		if value then
			return tonumber(value)
		end
	end
end

local function descriptors()
	local pipe = assert(io.popen("ls /proc/$PPID/fd | wc -l"))
	local n = pipe:read("n")
	pipe:close()
	return n - 1
end

local COLUMNS = { "seconds", "memory KiB", "Lua KiB", "descriptors", "threads", "calls", "failed", "events",
	"leases" }
local rows = {}

-- Memory is what the process has to itself: pages of the library's file come and go as they are needed.
local function sample(out)
	collectgarbage()
	collectgarbage()
	local row = {
		math.floor(elapsed()), status("RssAnon"), math.floor(collectgarbage("count")), descriptors(), status("Threads"),
		calls, failures, events, leases,
	}
	rows[#rows + 1] = row
	local line = table.concat(row, "\t")
	print(line)
	out:write(line, "\n")
	out:flush()
end

-- What a row has of a curve: a column, or how fast it has grown since the row before.
local function level(column)
	return function(n) return rows[n][column] end
end

local function rate(column)
	return function(n)
		local before = rows[n - 1] or { 0, [column] = 0 }
		return (rows[n][column] - before[column]) / math.max(rows[n][1] - before[1], 1)
	end
end

local CURVES = {
	{ "calls per second", rate(6) }, { "failed per second", rate(7) }, { "memory KiB", level(2) },
	{ "Lua KiB", level(3) }, { "descriptors", level(4) }, { "threads", level(5) },
}

-- The curves, each on its own scale, above the same axis of time; the faults behind them.
local function draw(path)
	local WIDTH, HEIGHT, LEFT = 730, 90, 150
	local out = assert(io.open(path, "w"))
	local function write(text, ...)
		out:write(text:format(...), "\n")
	end
	write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">',
		WIDTH + LEFT + 20, #CURVES * HEIGHT + 30)
	write '<rect width="100%%" height="100%%" fill="white"/>'
	local span = math.max(rows[#rows][1], 1)
	local function x(second)
		return LEFT + WIDTH * math.min(second / span, 1)
	end
	for line in io.lines(faults_path) do
		local fault, from, to = line:match "^(%S+) (%S+) (%S+)$"
		from, to = x(from - started_at), x(to - started_at)
		write('<rect x="%.1f" y="10" width="%.1f" height="%d" fill="#ffd8d3"><title>%s</title></rect>',
			from, math.max(to - from, 1), #CURVES * HEIGHT - 20, fault)
	end
	for i, curve in ipairs(CURVES) do
		local name, value = curve[1], curve[2]
		local top, most = (i - 1) * HEIGHT + 10, 1
		for n in ipairs(rows) do
			most = math.max(most, value(n))
		end
		local points = {}
		for n, row in ipairs(rows) do
			points[n] = ("%.1f,%.1f"):format(x(row[1]), top + (HEIGHT - 20) * (1 - value(n) / most))
		end
		write('<text x="10" y="%d">%s</text><text x="10" y="%d" fill="gray">0 to %.0f</text>', top + 25, name, top + 42, most)
		write('<path d="M%d %dh%d" stroke="lightgray"/>', LEFT, top + HEIGHT - 20, WIDTH)
		write('<polyline points="%s" fill="none" stroke="steelblue" stroke-width="1.5"/>', table.concat(points, " "))
	end
	write('<text x="%d" y="%d" fill="gray">%d seconds, %d calls, %d failed, %d events, %d leases; the faults are shaded'
		.. '</text>\n</svg>', LEFT, #CURVES * HEIGHT + 20, span, calls, failures, events, leases)
	out:close()
end

-- The mean of a column over a part of the rows.
local function mean(column, from, to)
	local sum = 0
	for i = from, to do
		sum = sum + rows[i][column]
	end
	return sum / (to - from + 1)
end

-- Memory is judged by the last third against the second: by then all has found its level. What half a minute shows is
-- noise, up to 90 KiB of it: malloc takes memory in steps of 128 KiB.
local function judge()
	local third = #rows // 3
	local function growth(column)
		return mean(column, #rows - third + 1, #rows) - mean(column, third + 1, 2 * third)
	end
	local grown, during = growth(2), growth(6)
	print(("drift: %.0f KiB in %.0f calls"):format(grown, during))
	assert(grown <= 128 + 1024 * during / 1e6, "memory grows")
	assert(failures < calls / 2, "most calls failed")
end

silly.run(function()
	local client = connect()
	assert(client:get { key = "soak/" })
	client:close()
	local descriptors_before, threads_before = descriptors(), status("Threads")

	client = connect()
	local out = assert(io.open(table_path, "w"))
	print(table.concat(COLUMNS, "\t"))
	out:write(table.concat(COLUMNS, "\t"), "\n")
	for i = 1, WRITERS do
		fork(writer, client, i)
	end
	for i = 1, READERS do
		fork(reader, client, i)
	end
	for _ = 1, LESSEES do
		fork(lessee)
	end
	fork(compactor, client)
	while elapsed() < seconds and not broken do
		silly.sleep(STEP)
		sample(out)
	end
	running = false
	local deadline = elapsed() + 60
	while group.count > 0 and not broken do
		assert(elapsed() < deadline, group.count .. " tasks do not end: is the last event of a watch lost?")
		silly.sleep(50)
	end
	out:close()
	draw(drawing_path)
	assert(not broken, broken)
	client:close()
	while descriptors() > descriptors_before do
		assert(elapsed() < deadline, "descriptors are left over")
		silly.sleep(50)
	end
	assert(status("Threads") == threads_before, "threads are left over")
	judge()
end)
