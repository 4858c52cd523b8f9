-- What the sources must not have. In: the files of the repository. Out: where they do.

local server = require "spec.support.etcd"

describe("unsafe code", function()
	it("S6: is in src/bridge and src/lua alone", function()
		local status, files = server.sh "grep -rlw unsafe --include=*.rs src"
		assert.equal(0, status)
		for file in files:gmatch "[^\n]+" do
			assert(file:find("^src/bridge/") or file:find("^src/lua/"), file)
		end
	end)
end)
