-- What specs do with the collector, in every Lua. In: functions. Out: they are called by it, or while it hurries.

local collector = {}

--- Has the collector do a whole cycle wherever something is made, and calls `f`.
---@param f function
function collector.hurried(f)
	if _VERSION == "Lua 5.5" then
		local mode = collectgarbage "incremental"
		local pause, stepmul = collectgarbage("param", "pause", 0), collectgarbage("param", "stepmul", 0)
		local stepsize = collectgarbage("param", "stepsize", 1)
		collectgarbage()
		f()
		collectgarbage("param", "pause", pause)
		collectgarbage("param", "stepmul", stepmul)
		collectgarbage("param", "stepsize", stepsize)
		collectgarbage(mode)
	elseif _VERSION == "Lua 5.4" then
		local mode = collectgarbage("incremental", 1, 1000, 1)
		collectgarbage()
		f()
		collectgarbage("incremental", 200, 100, 13)
		collectgarbage(mode)
	else
		local pause, stepmul = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
		collectgarbage()
		f()
		collectgarbage("setpause", pause)
		collectgarbage("setstepmul", stepmul)
	end
end

--- Calls `finalize` once the collector comes by.
---@param finalize function
function collector.drop(finalize)
	local newproxy = rawget(_G, "newproxy")
	if newproxy then
		getmetatable(newproxy(true)).__gc = finalize
	else
		setmetatable({}, { __gc = finalize })
	end
end

return collector
