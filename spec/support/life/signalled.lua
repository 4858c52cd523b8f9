-- A script that waits where SIGINT must reach it. In: "call", "early" or "sleep", and the endpoint of a silent server.
-- Out: the process sends SIGINT to itself from a child, once it waits; the message of the error that ends the wait.

local host = require "host"
local etcd = require "silly.store.etcd"

local how, silent = ...

local body = how ~= "sleep" and function()
	etcd.newclient { endpoints = { silent }, timeout = 600, retry = 1000 }:get { key = "a" }
end or function()
	require("silly").run(function() require("silly").sleep(600000) end)
end

host.interrupt(how == "early")
local ok, message = pcall(body)
assert(not ok and tostring(message):find("interrupted!", 1, true), tostring(message))
-- What the interrupted wait has left behind disturbs nobody.
assert(select(3, etcd.newclient { endpoints = { "127.0.0.1:1" }, retry = 0 }:get { key = "a" }).code == "unavailable")
