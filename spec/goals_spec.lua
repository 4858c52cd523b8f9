-- docs/goals.md: what the numbers mean that stand in the names of tests and in comments.
-- In: the table of the page, and the sources. A number is a letter and digits, in capitals or at the start of a Rust
-- function; those with a small f begin the names of specs.
-- Out: a failure for each number that only one of the two has, and for each file that the page names for a number and
-- that does not have it.

local support = require "spec.support.etcd"

local PAGE = "docs/goals.md"
local SOURCES = "find tests spec src faults bench fuzz examples lua -name '*.rs' -o -name '*.lua' | grep -v /target/"

local function contents(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return text
end

-- number -> the files that have it
local function used()
	local numbers = {}
	local function note(number, path)
		numbers[number] = numbers[number] or {}
		numbers[number][path] = true
	end
	for path in select(2, support.sh(SOURCES)):gmatch "%S+" do
		local text = contents(path)
		for number in text:gmatch "%f[%w_]([ACHLPSW]%d%d?)%f[^%w_]" do
			note(number, path)
		end
		for letter, digits in text:gmatch "fn ([achlpsw])(%d%d?)_" do
			note(letter:upper() .. digits, path)
		end
		for number in text:gmatch '"([fn]%d%d?): ' do
			note(number, path)
		end
	end
	return numbers
end

-- number -> the files that the page names for it
local function listed()
	local numbers = {}
	for number, files in contents(PAGE):gmatch "\n| (%a%d+) | [^|]+ | ([^|]+) |" do
		assert.is_nil(numbers[number], number .. " is listed twice")
		numbers[number] = {}
		for path in files:gmatch "`([^`]+)`" do
			numbers[number][path] = true
		end
	end
	return numbers
end

describe("each goal", function()
	local there, page = used(), listed()

	it("that is in use is on the page", function()
		for number, files in pairs(there) do
			assert.is_truthy(page[number], number .. " in " .. next(files))
		end
	end)

	it("that is on the page is in use", function()
		for number in pairs(page) do
			assert.is_truthy(there[number], number)
		end
	end)

	it("is shown by the files that the page names", function()
		for number, files in pairs(page) do
			assert.is_truthy(next(files), number)
			for path in pairs(files) do
				assert.is_true(there[number] and there[number][path], number .. " in " .. path)
			end
		end
	end)
end)
