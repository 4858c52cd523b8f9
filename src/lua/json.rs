//! JSON for `silly.encoding.json` of the standalone runtime; serde_json does the text.
//!
//! A table with an element 1 is an array up to its length, the empty one is `[]`, any other is an object with string
//! keys. `null` is a light userdata inside and outside of tables, so that it keeps its place there.

use mlua::prelude::*;
use mlua::serde::SerializeOptions;
use serde_json::{Map, Number, Value};

/// How deeply tables may be nested, as in what serde_json reads: a table that contains itself ends here too.
const DEPTH: usize = 127;

/// `value -> text | nil, message`
pub(super) fn encode(lua: &Lua, value: LuaValue) -> LuaResult<LuaMultiValue> {
    match self::value(&value) {
        Ok(json) => json.to_string().into_lua_multi(lua),
        Err(problem) => refuse(lua, "encode", &problem),
    }
}

/// `text -> value | nil, message`
pub(super) fn decode(lua: &Lua, text: &LuaValue) -> LuaResult<LuaMultiValue> {
    let LuaValue::String(text) = text else {
        return refuse(lua, "decode", &format!("expected a string, got {}", kind(text)));
    };
    let options = SerializeOptions::new().set_array_metatable(false);
    match serde_json::from_slice::<Value>(&text.as_bytes()) {
        Ok(json) => lua.to_value_with(&json, options)?.into_lua_multi(lua),
        Err(error) => refuse(lua, "decode", &error.to_string()),
    }
}

/// A value as JSON, or why it has no such form.
pub(super) fn value(value: &LuaValue) -> Result<Value, String> {
    json(value, DEPTH)
}

fn json(value: &LuaValue, depth: usize) -> Result<Value, String> {
    Ok(match value {
        LuaValue::Nil => Value::Null,
        value if *value == LuaValue::NULL => Value::Null,
        LuaValue::Boolean(boolean) => Value::Bool(*boolean),
        LuaValue::Integer(integer) => Value::from(*integer),
        LuaValue::Number(number) => Value::Number(json_number(*number)?),
        LuaValue::String(string) => Value::String(json_string(string)?),
        LuaValue::Table(_) if depth == 0 => return Err(format!("tables are nested more than {DEPTH} deep")),
        LuaValue::Table(table) => json_table(table, depth - 1)?,
        value => return Err(format!("a {} has no JSON form", kind(value))),
    })
}

fn kind(value: &LuaValue) -> &'static str {
    match value {
        LuaValue::Other(_) => "cdata",
        value => value.type_name(),
    }
}

/// A float with an integer value is written as that integer: Lua's `/` and `^` make such floats.
fn json_number(number: f64) -> Result<Number, String> {
    let integer = number as i64;
    if integer as f64 == number && integer != i64::MAX {
        return Ok(integer.into());
    }
    Number::from_f64(number).ok_or_else(|| format!("{number} has no JSON form"))
}

fn json_string(string: &LuaString) -> Result<String, String> {
    match string.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err("a string is not UTF-8".to_owned()),
    }
}

fn json_table(table: &LuaTable, depth: usize) -> Result<Value, String> {
    let item = |index| table.raw_get::<LuaValue>(index).map_err(|error| error.to_string());
    if item(1)? != LuaValue::Nil {
        let items = (1..=table.raw_len()).map(|index| json(&item(index)?, depth));
        return Ok(Value::Array(items.collect::<Result<_, _>>()?));
    }
    let mut object = Map::new();
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        let LuaValue::String(key) = key else {
            return Err(format!("a {} is no key of a JSON object", key.type_name()));
        };
        object.insert(json_string(&key)?, json(&value, depth)?);
    }
    Ok(if object.is_empty() {
        Value::Array(Vec::new())
    } else {
        Value::Object(object)
    })
}

fn refuse(lua: &Lua, call: &str, problem: &str) -> LuaResult<LuaMultiValue> {
    (LuaNil, format!("{call}: {problem}")).into_lua_multi(lua)
}
