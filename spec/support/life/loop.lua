-- A loop for coroutines, in the script that requires it: `pump`, called there, resumes those whose calls have completed.

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
