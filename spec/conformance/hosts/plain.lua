-- Plain Lua without any scheduler: every call blocks.

local failures = require "spec.conformance.suite" {
	name = "plain",
	run = function(main) main() end,
	nested = true,
	leave = function() os.exit(0, true) end,
}
os.exit(failures == 0 and 0 or 1, true)
