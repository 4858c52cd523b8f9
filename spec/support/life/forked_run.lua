-- Forks within a run, while another task waits for a response. In: the endpoint of a server that does not respond. Out:
-- an error unless the child's call fails at once and its run ends, and the parent's call goes on.

local host = require "host"
local etcd = require "silly.store.etcd"
local silly = require "silly"
local task = require "silly.task"

local client = etcd.newclient { endpoints = { (...) } }
local pid, message

silly.run(function()
	task.fork(function()
		message = select(2, client:get "key")
	end)
	silly.sleep(0)
	pid = host.fork()
	if pid > 0 then
		local status, signal = host.wait(pid, 30)
		assert(status == 0, ("child: %s %s"):format(status, signal or ""))
		assert(not message)
		client:close()
	end
end)
assert(message:find(pid == 0 and "forked" or "closed", 1, true), message)
