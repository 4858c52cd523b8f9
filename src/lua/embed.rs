//! The Lua half of the module, embedded so that one file is a complete installation.
//!
//! Each file becomes loadable under its own name through `package.preload`, so they `require` one another as usual.

use mlua::prelude::*;

// FILES: module name, chunk name and source of each file of `lua/silly/store/etcd/`, as `codegen/` has found them.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Names the folder from which a debug build takes these files instead, so that an edit needs no build.
#[cfg(debug_assertions)]
const FOLDER: &str = "SILLY_ETCD_LUA";

#[cfg(debug_assertions)]
fn edited(chunk: &str) -> Option<String> {
    let folder = std::env::var_os(FOLDER)?;
    std::fs::read_to_string(std::path::Path::new(&folder).join(chunk.trim_start_matches('@'))).ok()
}

#[cfg(not(debug_assertions))]
fn edited(_: &str) -> Option<String> {
    None
}

/// Makes the Lua half, and the core that it is built on, loadable.
pub(super) fn provide(lua: &Lua, core: LuaValue) -> LuaResult<()> {
    let package: LuaTable = lua.globals().get("package")?;
    let loaded: LuaTable = package.get("loaded")?;
    let preload: LuaTable = package.get("preload")?;
    loaded.set("silly.store.etcd.core", core)?;
    for (module, chunk, source) in FILES {
        let load = lua.create_function(move |lua, _: LuaMultiValue| {
            let edited = edited(chunk);
            let source = edited.as_deref().unwrap_or(source);
            lua.load(source).set_name(chunk).call::<LuaValue>(module)
        })?;
        preload.set(module, load)?;
    }
    Ok(())
}

/// Loads the Lua half: what `require "silly.store.etcd"` returns.
pub(super) fn load(lua: &Lua) -> LuaResult<LuaValue> {
    let require: LuaFunction = lua.globals().get("require")?;
    require.call("silly.store.etcd.module")
}
