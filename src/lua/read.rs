//! `stream:read(seconds?)`: the next thing that a stream brings, waited for no longer than the caller wants.

use std::time::Duration;

use mlua::prelude::*;
use tokio::time::timeout;

use super::call::{Answer, run};
use super::failure::{self, Invalid};
use super::fields::seconds;
use super::table::build;
use crate::etcd::Result;

/// Submits a read of `next`, whose values `encode` writes, for the call `name`.
pub(super) fn read<T: Send + 'static>(
    lua: &Lua,
    name: &'static str,
    limit: LuaValue,
    next: impl Future<Output = Result<T>> + Send + 'static,
    encode: fn(&Lua, &T) -> LuaResult<LuaValue>,
) -> LuaResult<LuaMultiValue> {
    match seconds(&limit) {
        Ok(limit) => run(lua, name, async move {
            Read {
                name,
                encode,
                outcome: bounded(limit, next).await,
            }
        }),
        Err(reason) => {
            let message = format!("{name}: read: 'seconds' {reason}");
            failure::invalid(
                lua,
                &Invalid {
                    message,
                    field: Some("seconds".to_owned()),
                },
            )
        }
    }
}

/// `None` when the time is over. The stream lives on.
async fn bounded<T>(limit: Option<Duration>, next: impl Future<Output = Result<T>>) -> Option<Result<T>> {
    match limit {
        None => Some(next.await),
        Some(limit) => timeout(limit, next).await.ok(),
    }
}

struct Read<T> {
    name: &'static str,
    encode: fn(&Lua, &T) -> LuaResult<LuaValue>,
    outcome: Option<Result<T>>,
}

impl<T: Send> Answer for Read<T> {
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.outcome {
            Some(Ok(next)) => (self.encode)(lua, &next)?.into_lua_multi(lua),
            Some(Err(error)) => failure::push(lua, self.name, &error),
            None => {
                let info = build(lua, |t| {
                    t.text(c"code", "timeout");
                    t.text(c"applied", "no");
                })?;
                (LuaNil, "timeout", info).into_lua_multi(lua)
            }
        }
    }
}
