//! `client:leader(req)` and `client:observe(req)`: who leads, once or whenever it changes.
//!
//! In: a name. Out: the leader's key; the native half of what follows it.

use std::time::Duration;

use bytes::Bytes;
use mlua::prelude::*;

use super::call::Call;
use super::failure::{self, Invalid};
use super::fields::{Decode, Fields};
use super::messages::name;
use super::read::Reader;
use super::table::{Encode, Table, build};
use crate::etcd::{self, CallOptions, Client, Led, Observer};

/// The calls whose responses are no objects.
pub(super) const CALLS: [&str; 1] = [Leader::NAME];

/// `client:leader(req)`
pub(super) struct Leader(Bytes);

impl Decode for Leader {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        name(fields).map(Self)
    }
}

impl Call for Leader {
    const NAME: &'static str = "leader";
    const REQUIRED: &'static [&'static str] = &["name"];
    type Request = Self;
    type Response = Led;

    fn writes(_: &Self) -> bool {
        false
    }

    async fn run(client: Client, Self(name): Self, options: CallOptions) -> etcd::Result<Led> {
        client.leader(name, &options).await
    }

    fn encode(lua: &Lua, led: Led) -> LuaResult<LuaValue> {
        build(lua, &led)
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Led {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.message(c"kv", self.kv.as_ref());
    }
}

/// What stands at the start of messages.
const KV: &str = "observer.kv";

/// `client:observe(req)`
pub(super) struct Observe {
    name: Bytes,
    wait: Duration,
}

impl Decode for Observe {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let name = name(fields)?;
        let wait = fields.wait()?;
        Ok(Self { name, wait })
    }
}

impl Call for Observe {
    const NAME: &'static str = "observe";
    const REQUIRED: &'static [&'static str] = &["name"];
    const SHARED: Option<&'static str> = Some("all that follow a name share a replica");
    type Request = Self;
    type Response = Observer;

    fn writes(_: &Self) -> bool {
        false
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Observer> {
        let Self { name, wait } = request;
        client.observe(name, wait, options).await
    }

    fn encode(lua: &Lua, observer: Observer) -> LuaResult<LuaValue> {
        let now = |lua: &Lua, observer: &Observer| match observer.now() {
            Ok(Led { kv: Some(kv), .. }) => build(lua, &kv)?.into_lua_multi(lua),
            Ok(Led { kv: None, .. }) => Ok(LuaMultiValue::new()),
            Err(error) => failure::push(lua, KV, &error),
        };
        Reader::new(Self::NAME, observer, Observer::close)
            .telling(now)
            .into_lua(lua)
    }
}
