//! JSON for the standalone runtime's `silly.encoding.json`; serde_json does the work.
//!
//! A table with the keys 1 to n is an array, any other an object, the empty one too. `null` is nil.

use mlua::prelude::*;
use mlua::serde::{DeserializeOptions, SerializeOptions};

/// `value -> text | nil, message`
pub(super) fn encode(lua: &Lua, value: LuaValue) -> LuaResult<LuaMultiValue> {
    let json: LuaResult<serde_json::Value> = lua.from_value_with(value, DeserializeOptions::new());
    match json {
        Ok(json) => json.to_string().into_lua_multi(lua),
        Err(error) => refuse(lua, "encode", &error),
    }
}

/// `text -> value | nil, message`
pub(super) fn decode(lua: &Lua, text: &LuaValue) -> LuaResult<LuaMultiValue> {
    let LuaValue::String(text) = text else {
        return refuse(lua, "decode", &format!("expected a string, got {}", text.type_name()));
    };
    let options = SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    match serde_json::from_slice::<serde_json::Value>(&text.as_bytes()) {
        Ok(json) => lua.to_value_with(&json, options)?.into_lua_multi(lua),
        Err(error) => refuse(lua, "decode", &error),
    }
}

fn refuse(lua: &Lua, call: &str, error: &dyn std::fmt::Display) -> LuaResult<LuaMultiValue> {
    let error = error.to_string();
    let line = error.lines().next().unwrap_or_default();
    (LuaNil, format!("{call}: {line}")).into_lua_multi(lua)
}
