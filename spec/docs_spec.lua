-- The pages and examples/: what they show runs, and what they name is there.
-- In: each ```lua block, run by bin/silly-run, and by lua with nothing but the library where the block needs no more.
-- An etcd of the spec's own stands for 127.0.0.1:2379. The comments `--> text` are what the block prints, with `...`
-- for what differs from run to run. The headings, the links, the paths, and the examples.
-- Out: a failure for each block that does not end well or prints something else, each link or path that leads nowhere,
-- and each function, field and code that the reference leaves out.

local support = require "spec.support.etcd"

local DEFINITIONS = "library/silly.store.etcd.d.lua"

local function contents(path)
	local file = assert(io.open(path))
	local text = file:read("*a")
	file:close()
	return text
end

local function listed(patterns)
	local paths = {}
	for path in select(2, support.sh("ls " .. patterns)):gmatch "%S+" do
		paths[#paths + 1] = path
	end
	return paths
end

local pages = listed "*.md docs/*.md docs/reference/*.md docs/coming/*.md examples/*.md examples/*/*.md"
local reference = listed "docs/reference/*.md"

local folders = {}
for folder in select(2, support.sh("ls -d */")):gmatch "[^/%s]+" do
	folders[folder] = true
end

-- Is a word in backticks the path of a file or folder of this repository, and of none that is only made later?
local function is_path(word)
	local folder, rest = word:match "^([%w_-]+)/([%w_./-]*)$"
	local made = folder == "build" or folder == "target" or word:match "^fuzz/artifacts/"
	return folders[folder] and not made and (rest == "" or rest:match "/$" or rest:match "%.%l+$")
end

-- A page as what it is made of.
---@return { line: integer, source: string }[] blocks
---@return table<string, true> anchors of the headings
---@return string[] links
---@return string[] paths
local function read(page)
	local blocks, anchors, links, paths, number = {}, {}, {}, {}, 0
	local fence, lines
	for line in contents(page):gmatch "([^\n]*)\n" do
		number = number + 1
		if not fence and line:match "^```" then
			fence, lines = line, {}
		elseif line == "```" then
			if fence == "```lua" then
				blocks[#blocks + 1] = { line = number - #lines, source = table.concat(lines, "\n") .. "\n" }
			end
			fence = nil
		elseif fence then
			lines[#lines + 1] = line
		else
			local heading = line:match "^#+ (.*)$"
			if heading then
				anchors[heading:lower():gsub("[^%w _-]", ""):gsub(" ", "-")] = true
			end
			for link in line:gmatch "%]%(([^)]+)%)" do
				links[#links + 1] = link
			end
			for word in line:gmatch "`([^`]+)`" do
				paths[#paths + 1] = is_path(word) and word or nil
			end
		end
	end
	return blocks, anchors, links, paths
end

-- What a block prints, by its comments.
local function printed(source)
	local lines = {}
	for text in source:gmatch "%-%-> ([^\n]*)" do
		lines[#lines + 1] = text
	end
	return table.concat(lines, "\n")
end

local function matches(expected, output)
	local pattern = expected:gsub("[%^$()%%.%[%]*+?-]", "%%%0"):gsub("%%%.%%%.%%%.", "[^\n]*")
	return output:find("^" .. pattern .. "\n?$") ~= nil
end

local node

setup(function() node = support.start() end)
teardown(function() node:stop() end)

local TASKS = "bin/silly-run"
local ALONE = ("LUA_PATH= LUA_CPATH=build/%s/?.so %s"):format(_VERSION:match "%d%.%d", os.getenv "LUA" or "lua5.4")

-- Runs a script and returns its exit status, stdout and stderr.
local function run(command, path)
	local err = os.tmpname()
	local line = "export ETCD_ENDPOINTS=%s; timeout 60 env %s %s 2>%s"
	local status, out = support.sh(line:format(node.endpoint, command, path, err))
	local message = contents(err)
	os.remove(err)
	return status, out, message
end

-- Runs a block and holds it to what it says.
local function check(command, block)
	local path = os.tmpname()
	local file = assert(io.open(path, "w"))
	file:write((block.source:gsub("127%.0%.0%.1:2379", node.endpoint)))
	file:close()
	local status, out, err = run(command, path)
	os.remove(path)
	assert.are.equal("", err)
	assert.are.equal(0, status)
	local expected = printed(block.source):gsub("127%.0%.0%.1:2379", node.endpoint)
	if not matches(expected, out) then
		assert.are.equal(expected, out)
	end
end

for _, page in ipairs(pages) do
	local blocks, _, links, paths = read(page)

	describe(page, function()
		for _, block in ipairs(blocks) do
			it("runs as it says: line " .. block.line, function() check(TASKS, block) end)
			if not block.source:gsub('require "silly%.store%.etcd"', ""):find 'require "silly' then
				it("runs by lua alone: line " .. block.line, function() check(ALONE, block) end)
			end
		end

		it("has samples that call nothing that the silly framework lacks", function()
			for _, block in ipairs(blocks) do
				assert.is_nil(block.source:match "silly%.sleep" or block.source:match "silly%.run", block.line)
			end
		end)

		it("links to what there is", function()
			for _, link in ipairs(links) do
				local path, anchor = link:match "^([^#]*)#?(.*)$"
				if not path:match "^%a+://" then
					path = path == "" and page or (page:match "^.*/" or "") .. path
					contents(path)
					if anchor ~= "" then
						local _, anchors = read(path)
						assert.is_true(anchors[anchor], link)
					end
				end
			end
		end)

		it("names files that are there", function()
			for _, path in ipairs(paths) do
				assert.are.equal(0, (support.sh(("test -e '%s'"):format(path))), path)
			end
		end)
	end)
end

describe("the samples of transactions", function()
	-- The first transaction takes place, and its answer is lost.
	local LOSSY = [[
		local etcd = require "silly.store.etcd"
		local newclient = etcd.newclient
		function etcd.newclient(conf)
			local client = newclient(conf)
			function client:txn(request)
				client.txn = nil
				assert(self:txn(request))
				return nil, "txn: unavailable: the connection broke", { code = "unavailable", applied = "maybe" }
			end
			return client
		end
	]]

	it("take a key though the answer is lost", function()
		local count = 0
		for _, block in ipairs((read "docs/reference/keys.md")) do
			if block.source:find("local function take(", 1, true) then
				check(TASKS, { source = LOSSY .. block.source })
				count = count + 1
			end
		end
		assert.are.equal(1, count)
	end)
end)

describe("the reference", function()
	local text = ""
	for _, page in ipairs(reference) do
		text = text .. contents(page)
	end

	it("has a section for every function", function()
		local count = 0
		for name in contents(DEFINITIONS):gmatch "\nfunction ([%w.:]+)" do
			if not name:match "^core:" then
				-- A service is a field of the client.
				name = name:gsub("^(%l+:)", { ["auth:"] = "client.auth:", ["cluster:"] = "client.cluster:",
					["maintenance:"] = "client.maintenance:" })
				assert.is_truthy(text:find("\n## " .. name .. "(", 1, true), name)
				count = count + 1
			end
		end
		assert.is_true(count > 0)
	end)

	it("names every field and every code", function()
		local count = 0
		for line in contents(DEFINITIONS):gmatch "[^\n]+" do
			local name = line:match "^%-%-%-@field ([%w_]+)" or line:match '^%-%-%-| "([%w_]+)"'
			if name then
				assert.is_truthy(text:find("`" .. name .. "[`(]"), name)
				count = count + 1
			end
		end
		assert.is_true(count > 0)
	end)
end)

describe("the examples", function()
	for path in select(2, support.sh("ls examples/*.lua")):gmatch "%S+" do
		it(path .. " ends well", function()
			local file = os.tmpname() -- for what needs one
			local status, _, err = run(TASKS, path .. " " .. file)
			os.remove(file)
			assert.are.equal("", err)
			assert.are.equal(0, status)
		end)
	end

	it("examples/backup.lua draws a bar on a terminal, and is quiet in cron", function()
		local file = os.tmpname()
		local command = ("ETCD_ENDPOINTS=%s %s examples/backup.lua %s"):format(node.endpoint, TASKS, file)
		local status, out = support.sh(command .. " </dev/null")
		assert.are.equal(0, status)
		assert.is_truthy(out:match("^" .. file:gsub("%p", "%%%0") .. ": %d+ bytes from %S+, sha256 %x+\n$"), out)
		status, out = support.sh(("script -qec '%s' /dev/null"):format(command))
		assert.are.equal(0, status)
		assert.is_truthy(out:find(("[%s] "):format(("#"):rep(40)), 1, true), out)
		status, out = support.sh(("ETCD_ENDPOINTS=%s %s examples/backup.lua /nowhere/x 2>&1"):format(node.endpoint, TASKS))
		assert.are.equal(1, status)
		assert.are.equal("maintenance.snapshot: io: /nowhere/x.part: No such file or directory\n", out)
		os.remove(file)
	end)
end)

describe("the table of servers", function()
	it("names those that make test runs the specs on, and no others", function()
		local tested = {}
		for line in contents "Makefile":gmatch "\n%u+_[%u%d_]+ := ([^\n]*)" do
			for version in line:gmatch "%f[%d]3%.%d+%.%d+" do
				tested[version] = true
			end
		end
		local named = {}
		for row in contents("README.md"):match "\n## Servers\n(.-)\n## ":gmatch "\n| (3[^|]*) |" do
			for version in row:gmatch "%S+%d" do
				named[version] = true
			end
		end
		named["3.4.23"] = nil -- the distribution's
		assert.are.same(tested, named)
	end)
end)
