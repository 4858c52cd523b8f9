//! 64-bit integers as requests give them: an integer, a float without a fraction, or a decimal or 0x string.
//!
//! In: a value. Out: the number it stands for exactly, or what is wrong with it. `table` has the other direction.

use mlua::prelude::*;

use super::failure::excerpt;
use super::value::Value;

const INEXACT: &str = "is not exact in this Lua, pass a string";

/// Reads an int64, or says what is wrong with it.
pub(super) fn decode(value: &Value) -> Result<i64, String> {
    match value {
        Value::Other(LuaValue::Integer(integer)) if exact(*integer as f64) => Ok(*integer),
        Value::Other(LuaValue::Integer(_)) => Err(INEXACT.to_owned()),
        Value::Other(LuaValue::Number(number)) => from_float(*number),
        Value::Text(text) => match str::from_utf8(text) {
            Ok(text) => from_text(text),
            Err(_) => Err("must be an integer, got a string that is none".to_owned()),
        },
        Value::Nil | Value::Other(_) => Err(format!("must be an integer, got {}", value.article())),
    }
}

/// Does this Lua have 64-bit integers? The others have floats only.
pub(super) const NATIVE: bool = cfg!(any(feature = "lua53", feature = "lua54", feature = "lua55"));

/// May a number of this Lua stand for itself? From 2^53 on a float stands for several integers.
pub(super) fn exact(number: f64) -> bool {
    NATIVE || number.abs() < 2f64.powi(53)
}

fn from_float(number: f64) -> Result<i64, String> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 || !number.is_finite() {
        return Err(format!("must be an integer, got {number}"));
    }
    if !(-LIMIT..LIMIT).contains(&number) {
        return Err(format!("is beyond 64 bits: {number}"));
    }
    if !exact(number) {
        return Err(INEXACT.to_owned());
    }
    Ok(number as i64)
}

fn from_text(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(format!("must be an integer, got '{}'", excerpt(text)));
    }
    let value = i128::from_str_radix(digits, radix).map(|value| if negative { -value } else { value });
    value
        .ok()
        .and_then(|value| i64::try_from(value).ok())
        .ok_or_else(|| format!("is beyond 64 bits: {}", excerpt(text)))
}
