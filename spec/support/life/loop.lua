-- A loop for coroutines that the script itself turns: its `pump` resumes those whose calls have completed.

local loop = { park = coroutine.yield }

function loop.pump()
	return 0
end

function loop.current()
	local co, main = coroutine.running()
	return not main and co or nil
end

function loop.wake(co)
	assert(coroutine.resume(co))
end

function loop.start(_, pump)
	loop.pump = pump
end

return loop
