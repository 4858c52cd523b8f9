-- Has a message written as a table, as it came and as prost has decoded it. In: its bytes. Out: an error if the two
-- tables differ, or one of them is refused and the other is not.

local core = require "silly.store.etcd.core"

local function same(one, other)
	if type(one) ~= "table" or type(other) ~= "table" then
		return one == other and math.type(one) == math.type(other)
	end
	for key, value in pairs(one) do
		if not same(value, other[key]) then
			return false
		end
	end
	for key in pairs(other) do
		if one[key] == nil then
			return false
		end
	end
	return true
end

return function(bytes)
	for _, name in ipairs { "RangeResponse", "TxnResponse", "WatchResponse" } do
		local received, decoded, text = core:oracle(name, bytes)
		assert(same(received, decoded) and (text == nil) == (received == nil), name)
	end
end
