-- examples/grafana/, examples/recipes/metrics.lua and the alarms of the reference, on real data: a program that has
-- something of all that clients count, and a Prometheus that reads it. In: luv, and Debian's `prometheus`; without them
-- the specs are pending and say so. Out: each query of the dashboard has data, and each alarm is a rule for Prometheus.

local json = require "silly.encoding.json"
local server = require "spec.support.etcd"

local HANG = 60 -- seconds, after which what is awaited is taken not to come
local LIFE = 300 -- seconds, after which the programs end that a spec has left behind

local LUA = os.getenv "LUA" or "lua5.4"
local PROGRAM = ("env LUA_CPATH='build/%s/?.so;;' %s spec/support/metrics.lua "):format(_VERSION:match "%d%.%d", LUA)
local PROMETHEUS = "prometheus --config.file=%s/prometheus.yml --storage.tsdb.path=%s/data --web.listen-address=%s"

local CONFIG = [[
global: { scrape_interval: 200ms, scrape_timeout: 200ms }
scrape_configs:
- job_name: lua
  static_configs: [{ targets: ["127.0.0.1:%s"] }]
]]

-- Prints a page and its type.
local READ = [[
import sys, urllib.request
response = urllib.request.urlopen(sys.argv[1])
print(response.headers["Content-Type"])
print(response.read().decode())
]]

-- Sends each query on stdin to Prometheus, and prints those that have no data. What is not a number is no data.
local ASK = [[
import json, sys, urllib.parse, urllib.request
for query in sys.stdin.read().splitlines():
    url = "http://" + sys.argv[1] + "/api/v1/query?" + urllib.parse.urlencode({"query": query})
    series = json.load(urllib.request.urlopen(url))["data"]["result"]
    if all(one["value"][1] == "NaN" for one in series):
        print(query)
]]

local function contents(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return text
end

local function write(path, text)
	local file = assert(io.open(path, "w"))
	file:write(text)
	file:close()
end

-- Waits until `is` returns something, and returns that. It fails with what `told` returns.
local function await(is, told)
	for _ = 1, HANG * 10 do
		local found = is()
		if found then
			return found
		end
		os.execute "sleep 0.1"
	end
	error(told())
end

-- All queries of the dashboard, with something in the places of Grafana's variables.
---@return string[]
local function queries()
	local found = {}
	for _, panel in ipairs(assert(json.decode(contents "examples/grafana/dashboard.json")).panels) do
		for _, target in ipairs(panel.targets or {}) do
			found[#found + 1] = target.expr:gsub("%$__rate_interval", "10s"):gsub("%$%l+", ".*")
		end
	end
	return found
end

-- The alarms of the reference.
---@return string[]
local function alarms()
	local found = {}
	for expression in contents("docs/reference/metrics.md"):match("\n## What to watch\n(.*)"):gmatch "\n| `([^`]+)` |" do
		found[#found + 1] = expression
	end
	return found
end

-- A spec that needs what these commands find.
local function with(commands, name, run)
	for _, command in ipairs(commands) do
		if server.sh(command) ~= 0 then
			return it(name, function() pending("not here: " .. command) end)
		end
	end
	it(name, run)
end

local LUV = LUA .. " -l luv -e return"
local BOTH = { LUV, "command -v prometheus", "command -v promtool" }

describe("the metrics of a program", function()
	local dir, address, port, pids

	-- Runs a command in the background, its output in a file.
	local function start(command, output)
		local _, pid = server.sh(("timeout %d %s >%s/%s 2>&1 & echo $!"):format(LIFE, command, dir, output))
		pids[#pids + 1] = pid:match "%d+"
	end

	setup(function()
		-- A folder, and a port that is free.
		local place = server.prepare()
		dir, address, pids = place.dir, place.endpoint, {}
		if server.sh(LUV) == 0 then
			start(PROGRAM .. server.start().endpoint, "program")
			local function output()
				return contents(dir .. "/program")
			end
			port = await(function() return output():match "^(%d+)\n" end, output)
		end
	end)

	teardown(function()
		for _, pid in ipairs(pids) do
			server.sh("kill " .. pid)
		end
	end)

	with({ LUV }, "are served by the recipe", function()
		write(dir .. "/read.py", READ)
		local _, text = server.sh(("/usr/bin/python3 %s/read.py http://127.0.0.1:%s/metrics"):format(dir, port))
		assert.is_truthy(text:find "^text/plain; version=0.0.4\n# HELP etcd_client_")
		assert.is_truthy(text:find('etcd_client_calls_total{client="thief",call="revoke",code="ok"} 1', 1, true), text)
	end)

	with(BOTH, "have data for every query of the dashboard", function()
		assert.is_true(#queries() > 20)
		write(dir .. "/prometheus.yml", CONFIG:format(port))
		write(dir .. "/ask.py", ASK)
		write(dir .. "/queries", table.concat(queries(), "\n"))
		start(PROMETHEUS:format(dir, dir, address), "prometheus.log")
		local lacking
		await(function()
			lacking = select(2, server.sh(("/usr/bin/python3 %s/ask.py %s <%s/queries"):format(dir, address, dir)))
			return lacking == ""
		end, function() return lacking end)
	end)

	with(BOTH, "have alarms that Prometheus takes", function()
		local rules = { "groups:", "- name: etcd", "  rules:" }
		for i, expression in ipairs(alarms()) do
			rules[#rules + 1] = ("  - { alert: A%d, expr: '%s' }"):format(i, expression)
		end
		write(dir .. "/rules.yml", table.concat(rules, "\n") .. "\n")
		local status, output = server.sh("promtool check rules " .. dir .. "/rules.yml")
		assert.are.equal(0, status, output)
		assert.is_truthy(output:find(("SUCCESS: %d rules found"):format(#alarms()), 1, true), output)
	end)
end)
