//! Operations: what runs on the runtime for a caller of this lua_State.
//!
//! In: a future. Out: at once the id of the operation; later, under that id, what it returns to Lua. The bridge that
//! carries it is app data of the lua_State.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mlua::prelude::*;
use tokio_util::sync::CancellationToken;

use super::failure;
use super::table::Push;
use crate::bridge::{Bridge, SubmitError};
use crate::etcd::{self, Applied, Code};

/// The result of an operation on its way to the Lua thread.
pub(super) type Outcome = Box<dyn Answer>;

/// What an operation returns to Lua.
pub(super) trait Answer: Send {
    /// What the caller gets instead if there is no memory for the values.
    fn unwritten(&self) -> Unwritten;

    /// The value that the caller gets, where it is one and plain.
    fn plain(&self) -> Option<Plain<'_>> {
        None
    }

    /// The values that the caller gets.
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue>;
}

/// A value that is written without anything of mlua's.
pub(super) enum Plain<'a> {
    True,
    Message(&'a dyn Push),
}

/// What is known of a response that could not be made into tables.
#[derive(Clone, Copy)]
pub(super) struct Unwritten {
    /// The name of its call.
    pub(super) call: &'static str,
    /// May that have changed something?
    pub(super) applied: Applied,
}

impl Answer for Unwritten {
    fn unwritten(&self) -> Unwritten {
        *self
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        self.write(lua, &LuaError::runtime("not enough memory"))
    }
}

impl Unwritten {
    pub(super) fn write(self, lua: &Lua, error: &LuaError) -> LuaResult<LuaMultiValue> {
        failure::unwritable(lua, self.call, self.applied, error)
    }
}

/// The outcome of giving something up: `true` when it is gone.
pub(super) struct Gone {
    pub(super) call: &'static str,
    pub(super) result: etcd::Result<()>,
}

impl Answer for Gone {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: self.call,
            applied: Applied::Maybe,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.result {
            Ok(()) => true.into_lua_multi(lua),
            Err(error) => failure::push(lua, self.call, &error),
        }
    }
}

/// Gives the lua_State its bridge.
pub(super) fn prepare(lua: &Lua) -> LuaResult<()> {
    lua.set_app_data::<Bridge<Outcome>>(Bridge::new()?);
    lua.set_app_data(Waits::default());
    Ok(())
}

/// The bridge of this lua_State. In a forked child it is a new one from then on.
pub(super) fn bridge(lua: &Lua) -> LuaResult<mlua::AppDataRef<'_, Bridge<Outcome>>> {
    let bridge = || {
        lua.app_data_ref::<Bridge<Outcome>>()
            .ok_or_else(|| LuaError::runtime("silly.store.etcd is not loaded in this lua_State"))
    };
    let inherited = bridge()?;
    let Some(child) = inherited.child() else {
        return Ok(inherited);
    };
    drop(inherited);
    lua.set_app_data(child?);
    bridge()
}

/// Submits an operation of the call `name`.
pub(super) fn run(lua: &Lua, name: &'static str, operation: BoxFuture<'static, Outcome>) -> LuaResult<LuaMultiValue> {
    begun(lua, name, begin(lua, operation)?)
}

/// Submits an operation. Returns its id.
pub(super) fn begin(lua: &Lua, operation: BoxFuture<'static, Outcome>) -> LuaResult<Result<u64, SubmitError>> {
    Ok(bridge(lua)?.submit(operation, || Box::new(Panicked)))
}

/// The same of one that is likely to wait at first, for what a stream brings.
pub(super) fn run_asleep(
    lua: &Lua,
    name: &'static str,
    operation: BoxFuture<'static, Outcome>,
) -> LuaResult<LuaMultiValue> {
    let submitted = bridge(lua)?.submit_asleep(operation, || Box::new(Panicked));
    begun(lua, name, submitted)
}

/// The id of an operation, or why there is none.
fn begun(lua: &Lua, name: &str, submitted: Result<u64, SubmitError>) -> LuaResult<LuaMultiValue> {
    match submitted {
        Ok(id) => id.into_lua_multi(lua),
        Err(error) => failure::push(lua, name, &etcd::Error::new(Code::Unavailable, error.to_string())),
    }
}

/// The operations whose callers may give them up.
#[derive(Default)]
struct Waits(RefCell<HashMap<u64, Weak<CancellationToken>>>);

/// So many are remembered before those that have ended are forgotten.
const REMEMBERED: usize = 64;

/// The same of one that waits for others, for as long as its caller does: [`give_up`] ends it.
pub(super) fn run_while_wanted(
    lua: &Lua,
    name: &'static str,
    operation: BoxFuture<'static, Outcome>,
) -> LuaResult<LuaMultiValue> {
    let wanted = Arc::new(CancellationToken::new());
    let remembered = Arc::downgrade(&wanted);
    let operation = async move {
        let outcome = wanted.run_until_cancelled(operation).await;
        outcome.unwrap_or_else(|| Box::new(Panicked))
    };
    let values = run(lua, name, operation.boxed())?;
    if let Some(LuaValue::Integer(id)) = values.front() {
        let waits = lua.app_data_ref::<Waits>();
        if let Some(mut waits) = waits.as_ref().and_then(|waits| waits.0.try_borrow_mut().ok()) {
            if waits.len() >= REMEMBERED {
                waits.retain(|_, wait| wait.strong_count() > 0);
            }
            waits.insert(id.cast_unsigned(), remembered);
        }
    }
    Ok(values)
}

/// The caller of an operation waits no longer. One that was run for as long as that ends; nobody takes its result.
pub(super) fn give_up(lua: &Lua, id: u64) {
    let waits = lua.app_data_ref::<Waits>();
    let wait = waits.and_then(|waits| waits.0.try_borrow_mut().ok()?.remove(&id));
    if let Some(wanted) = wait.and_then(|wait| wait.upgrade()) {
        wanted.cancel();
    }
}

/// The outcome of an operation that panicked.
struct Panicked;

impl Answer for Panicked {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: "panic",
            applied: Applied::Maybe,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        let Unwritten { call, applied } = self.unwritten();
        let error = etcd::Error {
            applied,
            ..etcd::Error::new(Code::Internal, "a bug in this library")
        };
        failure::push(lua, call, &error)
    }
}
