-- Hosts: the conformance suite in each host and version of Lua that is installed here.
-- In: spec/conformance/run, which names them and starts each as a process, and the libraries of `make libraries`.
-- Out: one test for each; pending, with what is missing, where a host is not installed.

local server = require "spec.support.etcd"

describe("the conformance suite #hosts", function()
	local _, cells = server.sh "spec/conformance/run --cells"
	for cell in cells:gmatch "[^\n]+" do
		local host, version = cell:match "^(%S+) (%S+)$"
		it("passes in " .. host .. " on " .. version, function()
			local status, output = server.sh("spec/conformance/run " .. cell)
			if status == 77 then
				return pending(output)
			end
			local cases, passed = output:match "\n1%.%.(%d+)\n(%d+) passed, 0 failed, %d+ skipped\n"
			assert(status == 0 and passed, output)
			local seen = select(2, output:gsub("%f[^\n]ok %d+ ", ""))
			assert.are.equal(tonumber(cases), seen)
			assert.is_true(tonumber(passed) > 30)
		end)
	end
end)
