//! `etcd.newclient(conf)`: reads the configuration.

use mlua::prelude::*;

use super::failure::Invalid;
use super::fields::Fields;
use crate::etcd::{Address, CallOptions, Config};

/// The configuration in `conf`, or what is wrong with it.
pub(super) fn decode(conf: LuaValue) -> Result<Config, Invalid> {
    let mut fields = Fields::new("newclient", conf)?;
    let listed = fields.list("endpoints")?;
    if listed.is_empty() {
        return Err(fields.field("endpoints", "must list at least one server"));
    }
    let mut endpoints = Vec::with_capacity(listed.len());
    for (i, value) in listed.iter().enumerate() {
        endpoints.push(endpoint(value).map_err(|reason| fields.field(&format!("endpoints[{}]", i + 1), &reason))?);
    }
    let options = fields.options(CallOptions::default())?;
    // The Lua half has read it.
    fields.value("loop")?;
    fields.check()?;
    Ok(Config { endpoints, options })
}

fn endpoint(value: &LuaValue) -> Result<Address, String> {
    let LuaValue::String(text) = value else {
        return Err(format!("must be a string, got {}", super::integer::article(value)));
    };
    let text = text.to_string_lossy();
    text.parse()
        .map_err(|reason| format!("is not an address: {reason}, got '{}'", text.escape_debug()))
}
