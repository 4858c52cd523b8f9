//! `stream:read(seconds?)`: the next thing that a stream has brought.
//!
//! What has come is taken and written here, on the Lua thread, so that it is never on its way to a coroutine that has
//! ended meanwhile. Only waiting is an operation; the Lua half then reads again.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use mlua::prelude::*;

use super::failure::{self, Invalid};
use super::fields::seconds;
use super::operation::{Answer, Outcome, Plain, Unwritten, run_asleep};
use super::table::{Encode, Push, Table, build};
use super::value::Value;
use crate::bridge::Owned;
use crate::etcd::{Applied, Readable};

/// After so many reads without a wait, other coroutines of the host get their turn.
const STREAK: u32 = 256;

/// The native half of a stream.
pub(super) struct Reader<S: Readable> {
    /// None in one that is made for its type alone.
    open: Option<Owned<Open<S>>>,
    /// The call that made it.
    name: &'static str,
    /// What the stream is doing, of those that tell.
    status: Option<fn(&Lua, &S) -> LuaResult<LuaMultiValue>>,
    /// Reads since the last wait.
    streak: Cell<u32>,
}

/// A stream that ends when this is dropped, though a wait that is under way holds it too.
struct Open<S: Readable> {
    stream: Arc<S>,
    close: fn(&S),
}

impl<S: Readable> Drop for Open<S> {
    fn drop(&mut self) {
        (self.close)(&self.stream);
    }
}

impl<S: Readable> Reader<S>
where
    S::Item: Push,
{
    /// The reader of `stream`, which the call `name` made. `close` ends it, by its user's wish or when Lua has
    /// forgotten it.
    pub(super) fn new(name: &'static str, stream: S, close: fn(&S)) -> Self {
        let stream = Arc::new(stream);
        Self {
            open: Some(Owned::new(Open { stream, close })),
            name,
            ..Self::nothing()
        }
    }

    /// A reader of nothing.
    pub(super) fn nothing() -> Self {
        Self {
            open: None,
            name: "",
            status: None,
            streak: Cell::new(0),
        }
    }

    /// What it reads, unless that is another process's.
    fn open(&self) -> Option<&Open<S>> {
        self.open.as_ref()?.get()
    }

    /// The same reader, of which `status` writes what the stream is doing.
    pub(super) fn telling(self, status: fn(&Lua, &S) -> LuaResult<LuaMultiValue>) -> Self {
        let status = Some(status);
        Self { status, ..self }
    }

    fn status(&self, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match (self.open(), self.status) {
            (Some(open), Some(status)) => status(lua, &open.stream),
            _ => failure::forked(lua, self.name),
        }
    }

    /// How long to wait at most.
    fn limit(&self, lua: &Lua, limit: LuaValue) -> Result<Option<Duration>, Invalid> {
        seconds(&Value::new(lua, limit)).map_err(|reason| Invalid {
            message: format!("{}: read: 'seconds' {reason}", self.name),
            field: Some("seconds".to_owned()),
        })
    }

    fn take(&self, lua: &Lua, limit: LuaValue) -> LuaResult<LuaMultiValue> {
        let name = self.name;
        let Some(Open { stream, .. }) = self.open() else {
            return failure::forked(lua, name);
        };
        if let Err(invalid) = self.limit(lua, limit) {
            return failure::invalid(lua, &invalid);
        }
        if self.streak.get() < STREAK
            && let Some(next) = stream.take()
        {
            self.streak.set(self.streak.get() + 1);
            let item = match next {
                Ok(item) => item,
                Err(error) => return failure::push(lua, name, &error),
            };
            return match build(lua, &item) {
                Ok(value) => value.into_lua_multi(lua),
                Err(error) => {
                    stream.put_back(item);
                    failure::unwritable(lua, name, Applied::No, &error)
                }
            };
        }
        self.streak.set(0);
        false.into_lua_multi(lua)
    }

    fn read(&self, lua: &Lua, limit: LuaValue) -> LuaResult<LuaMultiValue> {
        let name = self.name;
        let Some(Open { stream, .. }) = self.open() else {
            return failure::forked(lua, name);
        };
        let limit = match self.limit(lua, limit) {
            Ok(limit) => limit,
            Err(invalid) => return failure::invalid(lua, &invalid),
        };
        let stream = stream.clone();
        let waiting = async move {
            let in_time = stream.wait(limit).await;
            Box::new(Waited { name, in_time }) as Outcome
        };
        run_asleep(lua, name, waiting.boxed())
    }

    fn close(&self) {
        if let Some(Open { stream, close }) = self.open() {
            close(stream);
        }
    }
}

impl<S: Readable> LuaUserData for Reader<S>
where
    S::Item: Push,
{
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // take(seconds?) -> value | nil, message, info | false where there is none yet
        methods.add_method("take", |lua, reader, limit: LuaValue| reader.take(lua, limit));

        // read(seconds?) -> id of an operation that waits until there may be a value | nil, message, info
        methods.add_method("read", |lua, reader, limit: LuaValue| reader.read(lua, limit));

        // status() -> table | nil, message, info
        methods.add_method("status", |lua, reader, ()| reader.status(lua));

        methods.add_method("close", |_, reader, ()| {
            reader.close();
            Ok(())
        });
    }
}

/// Did something come in time?
struct Waited {
    name: &'static str,
    in_time: bool,
}

impl Answer for Waited {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: self.name,
            applied: Applied::No,
        }
    }

    fn plain(&self) -> Option<Plain<'_>> {
        self.in_time.then_some(Plain::True)
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        if self.in_time {
            return true.into_lua_multi(lua);
        }
        timeout(lua)
    }
}

/// What is returned where nothing came in time.
pub(super) fn timeout(lua: &Lua) -> LuaResult<LuaMultiValue> {
    (LuaNil, "timeout", build(lua, &Timeout)?).into_lua_multi(lua)
}

/// The info where nothing came in time.
struct Timeout;

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Timeout {
    fn encode(&self, table: &mut Table) {
        table.text(c"code", "timeout");
        table.text(c"applied", "no");
    }
}
