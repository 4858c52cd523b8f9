-- Base64: that of nginx where it is there, else of this file. In and out: strings; what is no base64 is decoded to nil.

local ngx = rawget(_G, "ngx")

local M = {}

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local digits = {} ---@type table<string, integer>
for i = 1, 64 do
	digits[LETTERS:sub(i, i)] = i - 1
end

local function letter(number, unit)
	local digit = math.floor(number / unit) % 64 + 1
	return LETTERS:sub(digit, digit)
end

local function quadruple(bytes)
	local first, second, third = bytes:byte(1, 3)
	local number = first * 65536 + (second or 0) * 256 + (third or 0)
	return letter(number, 262144) .. letter(number, 4096)
		.. (second and letter(number, 64) or "=") .. (third and letter(number, 1) or "=")
end

local function triple(letters)
	local number = 0
	for i = 1, 4 do
		number = number * 64 + (digits[letters:sub(i, i)] or 0)
	end
	local bytes = string.char(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
	return bytes:sub(1, #letters - 1)
end

---@param text string
---@return string
function M.encode(text)
	return (text:gsub("..?.?", quadruple))
end

---@param text string
---@return string?
function M.decode(text)
	local letters, padding = text:match "^([%w+/]*)(=*)$"
	if not letters or #padding > 2 or (#letters + #padding) % 4 ~= 0 then
		return nil
	end
	return (letters:gsub("..?.?.?", triple))
end

if ngx then
	M.encode, M.decode = ngx.encode_base64, ngx.decode_base64
end

return M
