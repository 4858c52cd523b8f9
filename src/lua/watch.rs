//! The Watch service: `client:watch(req)` and the native half of the object that it returns.

use mlua::prelude::*;

use super::call::Call;
use super::read::Reader;
use super::table::{Encode, Table, build};
use crate::etcd::pb::WatchCreateRequest;
use crate::etcd::{Batches, CallOptions, Client, Result, Status, Watcher};

/// `client:watch(req)`
pub(super) struct Watch;

impl Call for Watch {
    const NAME: &'static str = "watch";
    const REQUIRED: &'static [&'static str] = &["key"];
    const SHARED: Option<&'static str> = Some("all watches of a client share a stream");
    type Request = WatchCreateRequest;
    type Response = Watcher;

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(client: Client, request: WatchCreateRequest, options: CallOptions) -> Result<Watcher> {
        client.watch(request, &options).await
    }

    fn encode(lua: &Lua, watcher: Watcher) -> LuaResult<LuaValue> {
        let reader = Reader::new(Self::NAME, Batches(watcher), |Batches(watcher)| watcher.close());
        reader
            .telling(|lua, Batches(watcher)| build(lua, &watcher.status())?.into_lua_multi(lua))
            .into_lua(lua)
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Status {
    fn encode(&self, table: &mut Table) {
        table.text(c"state", self.state.name());
        table.integer(c"revision", self.revision);
        table.number(c"lag", self.lag.as_secs_f64());
        if let Some(message) = &self.message {
            table.text(c"message", message);
        }
    }
}
