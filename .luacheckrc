-- The library runs on Lua 5.1 to 5.5 and LuaJIT, so it may use only what all of them have.
std = "min"
files["spec"] = { std = "lua54+busted" }
files["spec/conformance"] = { std = "min" }
files["bench"] = { std = "lua54" }
files["fuzz"] = { std = "lua54" }
files["examples"] = { std = "lua54" }
exclude_files = { "build", "library", "lua/**/*.d.lua", "target" }
