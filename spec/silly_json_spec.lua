-- silly.encoding.json: encoding, decoding, null and failures.
-- In: Lua values and JSON texts. Out: their counterparts, or nil and a message.

local json = require "silly.encoding.json"

describe("json.encode", function()
	it("writes scalars", function()
		assert.are.equal('"text"', json.encode("text"))
		assert.are.equal("42", json.encode(42))
		assert.are.equal("-1.5", json.encode(-1.5))
		assert.are.equal("true", json.encode(true))
		assert.are.equal("false", json.encode(false))
		assert.are.equal("null", json.encode(nil))
	end)

	it("writes integers exactly, and floats with an integer value as integers", function()
		assert.are.equal("[9007199254740991]", json.encode({ 9007199254740991 }))
		assert.are.equal("[42,-1,0]", json.encode({ 42.0, -1.0, 0.0 }))
		if math.type then
			assert.are.equal("[9223372036854775807]", json.encode({ math.maxinteger }))
		end
	end)

	it("writes a table with an element 1 as an array", function()
		assert.are.equal('[1,"a",[true]]', json.encode({ 1, "a", { true } }))
	end)

	it("writes an array up to its length, whatever else the table holds", function()
		assert.are.equal("[1,null,3]", json.encode({ 1, nil, 3 }))
		assert.are.equal("[1,2]", json.encode({ 1, 2, name = "mydb" }))
		assert.are.equal("[false]", json.encode({ false }))
	end)

	it("writes other tables as objects", function()
		assert.are.equal('{"name":"mydb"}', json.encode({ name = "mydb" }))
		assert.are.equal('{"a":{"b":[1]}}', json.encode({ a = { b = { 1 } } }))
	end)

	it("writes the empty table as an array", function()
		assert.are.equal("[]", json.encode({}))
		assert.are.equal('{"list":[]}', json.encode({ list = {} }))
	end)

	it("escapes what JSON does not allow in strings", function()
		assert.are.equal([["\"\\/\b\f\n\r\t"]], json.encode("\"\\/\b\f\n\r\t"))
		assert.are.equal([["\u0000\u001f"]], json.encode("\0\31"):lower())
		assert.are.equal('"żółw"', json.encode("żółw"))
	end)

	it("answers nil and a message for what JSON cannot express", function()
		local loop, deep = {}, {}
		loop[1] = loop
		for _ = 1, 100000 do
			deep = { deep }
		end
		for _, value in ipairs {
			0 / 0, 1 / 0, { -1 / 0 }, print, { f = print }, { [{}] = 1 }, coroutine.create(print), "\255", loop, deep,
			{ nil, 2 }, { nil, nil, 3 }, { [2] = 2 },
		} do
			local text, err = json.encode(value)
			assert.is_nil(text)
			assert.are.equal("string", type(err))
		end
	end)
end)

describe("json.decode", function()
	it("reads scalars at the top too", function()
		assert.are.equal("text", json.decode('"text"'))
		assert.are.equal(42, json.decode(" 42 "))
		assert.are.equal(-123000, json.decode("-1.23e5"))
		assert.is_true(json.decode("true"))
		assert.is_false(json.decode("false"))
	end)

	it("reads arrays and objects", function()
		assert.are.same({ 1, { a = "b" }, {}, {} }, json.decode('[1, {"a": "b"}, {}, []]'))
	end)

	it("reads escapes", function()
		assert.are.equal("\"\\/\b\f\n\r\t\0é😀", json.decode([["\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00"]]))
	end)

	it("reads integers exactly where Lua can", function()
		assert.are.equal(9007199254740991, json.decode("9007199254740991"))
		if math.type then
			assert.are.equal(math.maxinteger, json.decode("9223372036854775807"))
			assert.are.equal("integer", math.type(json.decode("1")))
			assert.are.equal("float", math.type(json.decode("1.0")))
		end
	end)

	it("answers nil and a message for what is not JSON", function()
		for _, text in ipairs {
			"", "{", '{"a":1', "[1,,2]", "[1,]", '{"a":}', '{"a":tru}', "'a'", "{1:1}", "[1] x", "[NaN]", "[012]",
			'["\\ud800"]', '["new\nline"]', "[\"\255\"]",
		} do
			local value, err = json.decode(text)
			assert.is_nil(value)
			assert.are.equal("string", type(err))
		end
	end)

	it("answers nil and a message for what is not a string", function()
		for _, text in ipairs { {}, true, print } do
			local value, err = json.decode(text)
			assert.is_nil(value)
			assert.are.equal("string", type(err))
		end
	end)

	it("survives any depth of nesting", function()
		local text = ("["):rep(100000) .. ("]"):rep(100000)
		local value, err = json.decode(text)
		assert.is_nil(value)
		assert.are.equal("string", type(err))
	end)
end)

describe("json.null", function()
	it("is what null decodes to, and keeps its place", function()
		assert.is_truthy(json.null)
		assert.are.equal(json.null, json.decode("null"))
		assert.are.equal(json.null, json.decode('{"a":null}').a)
		local list = json.decode("[1,null,3]")
		assert.are.equal(3, #list)
		assert.are.equal(json.null, list[2])
	end)

	it("encodes to null", function()
		assert.are.equal("null", json.encode(json.null))
		assert.are.equal('[1,null,{"a":null}]', json.encode({ 1, json.null, { a = json.null } }))
	end)
end)

describe("encode and decode", function()
	it("are each other's inverse", function()
		local value = {
			name = "api-server", port = 8080, ratio = 0.1, tags = { "a", "b" }, on = true, off = false,
			nested = { { { deep = "x" } } }, ["key with \"quotes\""] = "\0\1\127", text = ("a"):rep(10000),
		}
		assert.are.same(value, json.decode(json.encode(value)))
	end)
end)
