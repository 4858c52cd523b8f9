//! The face: Lua tables in, Lua tables out. Everything here runs on the Lua thread.
//!
//! A [`call`] decodes its request, submits an `operation` and encodes its response. Those of the table in
//! `src/etcd/rpc.rs` do so by rule; `get`, `txn`, `lease`, `watch`, `scan` and `cache` have the others, and `read` is how
//! what they return is read from. `stats` tells what clients count, `records` what happens to them, `endpoints` which
//! servers they have. `value` takes requests off the Lua stack (`cdata` knows what LuaJIT's FFI makes), `fields` and `config` make sense of them, `options` of what every request may say, with a `hint` for who is wrong;
//! `messages` has the requests that are decoded by hand. `table` writes responses and `wire` those that servers send,
//! `integer` makes numbers exact in both directions, `failure` is the `nil, message, info` of all of them, `text`
//! shortens what others say. `submit` and `take` are the short ways of simple calls and of what has completed: C
//! functions that are `held`. `core` and `client` are what the Lua half of the module, in `lua/silly/store/etcd/`, is
//! built on; `embed` holds that half, `json` serves the standalone runtime, `yieldable` tells whether a caller can be
//! suspended, `cpcall` makes a function of Lua 5.1 safe for mlua. `entry` is what Lua calls first; `pin` keeps the library
//! loaded.

mod auth;
mod cache;
mod call;
mod cdata;
mod client;
mod cluster;
mod config;
mod core;
#[cfg(all(feature = "lua51", target_os = "linux"))] // It is hidden as ELF has it.
mod cpcall;
mod election;
mod embed;
mod endpoints;
mod entry;
mod failure;
mod fields;
mod get;
mod held;
mod hint;
mod integer;
mod json;
mod lease;
mod lock;
mod maintenance;
mod messages;
mod operation;
mod options;
#[cfg(debug_assertions)]
mod oracle;
mod pin;
mod read;
mod records;
mod registration;
mod scan;
mod stats;
mod stm;
mod submit;
mod table;
mod take;
mod text;
mod txn;
mod update;
mod value;
mod watch;
mod wire;
mod yieldable;

use mlua::prelude::*;

use crate::etcd::{Batches, Changes, Losses, Observer, Records, Renewals, Scan, Snapshot, Statuses};

/// `require "silly.store.etcd"`.
fn open(lua: &Lua) -> LuaResult<LuaValue> {
    pin::pin();
    // mlua keeps using the first lua_State that it saw: it must outlive the module, also when that is a coroutine.
    lua.set_named_registry_value("silly.store.etcd.anchor", lua.current_thread())?;
    // A state has one core, however often the module is loaded: results go to those who wait for them.
    let (core, module): (LuaValue, LuaValue) = (
        lua.named_registry_value("silly.store.etcd.core")?,
        lua.named_registry_value("silly.store.etcd.module")?,
    );
    if !module.is_nil() {
        embed::provide(lua, core)?;
        return Ok(module);
    }
    wire::prepare(lua)?;
    let core = core::Core::new(lua)?.into_lua(lua)?;
    // Lua ends in the opposite order of beginnings, so what a program makes from now on may use these types to its end.
    lua.create_userdata(client::NativeClient::default())?;
    lua.create_userdata(read::Reader::<Batches>::nothing())?;
    lua.create_userdata(read::Reader::<Renewals>::nothing())?;
    lua.create_userdata(read::Reader::<Snapshot>::nothing())?;
    lua.create_userdata(read::Reader::<Scan>::nothing())?;
    lua.create_userdata(read::Reader::<Changes>::nothing())?;
    lua.create_userdata(cache::NativeCache::default())?;
    lua.create_userdata(cache::View::default())?;
    lua.create_userdata(read::Reader::<Statuses>::nothing())?;
    lua.create_userdata(registration::NativeRegistration::default())?;
    lua.create_userdata(read::Reader::<Losses>::nothing())?;
    lua.create_userdata(read::Reader::<Observer>::nothing())?;
    lua.create_userdata(read::Reader::<Records>::nothing())?;
    lua.create_userdata(lock::NativeSession::default())?;
    lua.create_userdata(lock::NativeContender::default())?;
    lua.create_userdata(stm::NativeTransaction::default())?;
    embed::provide(lua, core.clone())?;
    let module = embed::load(lua)?;
    lua.set_named_registry_value("silly.store.etcd.core", core)?;
    lua.set_named_registry_value("silly.store.etcd.module", module.clone())?;
    Ok(module)
}
