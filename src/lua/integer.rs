//! 64-bit integers as requests give them: an integer, a float without a fraction, a decimal or 0x string, or an int64
//! or uint64 of LuaJIT's.
//!
//! In: a value. Out: the number it stands for exactly, or what is wrong with it. `table` has the other direction.

use mlua::prelude::*;

use super::text::excerpt;
use super::value::Value;

const INEXACT: &str = "is not exact in this Lua, pass a string";

/// Reads an int64, or says what is wrong with it.
pub(super) fn int64(value: &Value) -> Result<i64, String> {
    i64::try_from(read(value)?).map_err(|_| beyond(value))
}

/// Reads the 64 bits of an id. An id may be written as an int64 or a uint64, as the two of Lua's kinds write it.
pub(super) fn id(value: &Value) -> Result<i64, String> {
    let id = read(value)?;
    let unsigned = || u64::try_from(id).map(u64::cast_signed);
    i64::try_from(id).or_else(|_| unsigned()).map_err(|_| beyond(value))
}

/// Reads an integer of any size; one beyond all types comes out as some other that is beyond 64 bits.
fn read(value: &Value) -> Result<i128, String> {
    let no_integer = || format!("must be an integer, got {}", value.article());
    match value {
        Value::Other(LuaValue::Integer(integer)) if exact(*integer as f64) => Ok((*integer).into()),
        Value::Other(LuaValue::Integer(_)) => Err(INEXACT.to_owned()),
        Value::Other(LuaValue::Number(number)) => from_float(*number),
        Value::Text(text) => match str::from_utf8(text) {
            Ok(text) => from_text(text),
            Err(_) => Err("must be an integer, got a string that is none".to_owned()),
        },
        Value::Cdata(cdata) => cdata.integer.ok_or_else(no_integer),
        Value::Nil | Value::Other(_) => Err(no_integer()),
    }
}

fn beyond(value: &Value) -> String {
    let given = match value {
        Value::Text(text) => excerpt(&String::from_utf8_lossy(text)),
        Value::Other(LuaValue::Number(number)) => number.to_string(),
        Value::Cdata(cdata) => cdata.integer.unwrap_or_default().to_string(),
        other => other.article(),
    };
    format!("is beyond 64 bits: {given}")
}

/// Does this Lua have 64-bit integers? The others have floats only.
pub(super) const NATIVE: bool = cfg!(any(feature = "lua53", feature = "lua54", feature = "lua55"));

/// May a number of this Lua stand for itself? From 2^53 on a float stands for several integers.
pub(super) fn exact(number: f64) -> bool {
    NATIVE || number.abs() < 2f64.powi(53)
}

fn from_float(number: f64) -> Result<i128, String> {
    if number.fract() != 0.0 || !number.is_finite() {
        return Err(format!("must be an integer, got {number}"));
    }
    // What is beyond 64 bits is told as that.
    if !exact(number) && number.abs() < 2f64.powi(64) {
        return Err(INEXACT.to_owned());
    }
    Ok(number as i128)
}

fn from_text(text: &str) -> Result<i128, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        // As etcdctl shows the id of a lease.
        let is_hex = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        let hint = if is_hex { " (hexadecimal starts with 0x)" } else { "" };
        return Err(format!("must be an integer, got '{}'{hint}", excerpt(text)));
    }
    Ok(sign * i128::from_str_radix(digits, radix).unwrap_or(i128::MAX))
}
