-- Several lua_States in each of several threads. In: endpoint, key prefix, threads, states in each.
-- Out: an error unless every call in every one is answered, and one thread of the library has served them all.

local host = require "host"

local endpoint, prefix, threads, states = ...

assert(host.threads(tonumber(threads), tonumber(states), "spec/support/life/smoke.lua", endpoint, prefix, "3"))
assert((host.usage()) == 2)
