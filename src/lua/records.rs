//! `client:records()`: what happens to a client, to be read.

use std::time::UNIX_EPOCH;

use mlua::prelude::*;

use super::read::Reader;
use super::table::{Encode, Table};
use crate::etcd::{Client, Record, Records};

/// What stands at the start of messages.
pub(super) const NAME: &str = "records";

/// The native half of what reads the records of a client.
pub(super) fn reader(lua: &Lua, client: &Client) -> LuaResult<LuaMultiValue> {
    Reader::new(NAME, client.records(), Records::close).into_lua_multi(lua)
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Record {
    fn encode(&self, table: &mut Table) {
        let time = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        table.text(c"level", self.level.name());
        table.text(c"event", self.event);
        table.number(c"time", time.as_secs_f64());
        table.text(c"message", &self.message);
        if let Some(endpoint) = &self.endpoint {
            table.text(c"endpoint", endpoint);
        }
        if let Some(code) = self.code {
            table.text(c"code", code.name());
        }
        if let Some(call) = self.call {
            table.text(c"call", call);
        }
        if let Some(key) = &self.key {
            table.bytes(c"key", key);
        }
        if let Some(seconds) = self.seconds {
            table.number(c"seconds", seconds);
        }
        if let Some(attempts) = self.attempts {
            table.integer(c"attempts", attempts.into());
        }
        table.integer(c"repeated", self.repeated.cast_signed());
        table.integer(c"missed", self.missed.cast_signed());
    }
}
