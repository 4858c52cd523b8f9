//! `nil, message, info`: how every call says that it failed.
//!
//! `message` is one line for a person and starts with the call's name. `info` is for programs: `code`, `applied`, and
//! what belongs to the case: `endpoint`, `server_message`, `compact_revision`, `field`; of a call also what was tried:
//! `attempts`, `elapsed`, `causes`.

use mlua::prelude::*;

use super::table::{Encode, Table, build};
use super::text::one_line;
use crate::etcd::{Applied, Code, Error};

/// A request that is no good.
#[derive(Debug)]
pub(super) struct Invalid {
    /// Starts with the call and names the field.
    pub(super) message: String,
    /// The field at fault, if it is one.
    pub(super) field: Option<String>,
}

impl Invalid {
    /// The same with a remark: what unit a number has.
    pub(super) fn with(self, remark: &str) -> Self {
        Self {
            message: format!("{} ({remark})", self.message),
            ..self
        }
    }
}

/// The values for an error of the client.
pub(super) fn push(lua: &Lua, call: &str, error: &Error) -> LuaResult<LuaMultiValue> {
    let info = build(lua, error)?;
    (LuaNil, format!("{call}: {error}"), info).into_lua_multi(lua)
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Error {
    fn encode(&self, table: &mut Table) {
        table.text(c"code", self.code.name());
        table.text(c"applied", applied(self.applied));
        if let Some(endpoint) = &self.endpoint {
            table.text(c"endpoint", endpoint);
        }
        if let Some(revision) = self.compact_revision {
            table.integer(c"compact_revision", revision);
        }
        if self.from_server {
            table.text(c"server_message", &self.message);
        }
        if let Some(holder) = &self.holder {
            table.bytes(c"key", &holder.key);
            table.integer(c"revision", holder.revision);
        }
        if let Some(done) = self.done {
            table.integer(c"revision", done.revision);
            table.flag(c"succeeded", done.succeeded);
        }
        if let Some(attempts) = &self.attempts {
            table.integer(c"attempts", attempts.count.into());
            table.number(c"elapsed", attempts.elapsed.as_secs_f64());
            table.table(c"causes", |table| {
                for (endpoint, message) in &attempts.causes {
                    table.entry(endpoint, message);
                }
            });
        }
    }
}

/// The values for a request that never left.
pub(super) fn invalid(lua: &Lua, invalid: &Invalid) -> LuaResult<LuaMultiValue> {
    let info = build(lua, invalid)?;
    (LuaNil, invalid.message.as_str(), info).into_lua_multi(lua)
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Invalid {
    fn encode(&self, table: &mut Table) {
        table.text(c"code", Code::InvalidArgument.name());
        table.text(c"applied", applied(Applied::No));
        if let Some(field) = &self.field {
            table.text(c"field", field);
        }
    }
}

/// The values for a call of an object that was made before the process forked.
pub(super) fn forked(lua: &Lua, call: &str) -> LuaResult<LuaMultiValue> {
    let error = Error::new(
        Code::Unavailable,
        "the client was made before the process forked: make one after it",
    );
    push(lua, call, &error)
}

/// The values for a response of `call` that could not be made into tables: Lua is out of memory. `applied` speaks of
/// what was answered.
pub(super) fn unwritable(lua: &Lua, call: &str, applied: Applied, error: &LuaError) -> LuaResult<LuaMultiValue> {
    let error = Error {
        applied,
        ..Error::new(Code::ResourceExhausted, one_line(error))
    };
    push(lua, call, &error)
}

fn applied(applied: Applied) -> &'static str {
    match applied {
        Applied::Yes => "yes",
        Applied::No => "no",
        Applied::Maybe => "maybe",
    }
}
