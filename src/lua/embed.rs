//! The Lua half of the module, embedded so that one file is a complete installation.
//!
//! Each file becomes loadable under its own name through `package.preload`, so they `require` one another as usual.

use std::ffi::c_int;
use std::slice;

use mlua::ffi;
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
#[allow(unsafe_code)]
pub(super) fn provide(lua: &Lua, core: LuaValue) -> LuaResult<()> {
    let package: LuaTable = lua.globals().get("package")?;
    let loaded: LuaTable = package.get("loaded")?;
    let preload: LuaTable = package.get("preload")?;
    loaded.set("silly.store.etcd.core", core)?;
    // SAFETY: it is called by Lua, and leaves one value in the state that it is called with.
    let load = unsafe { lua.create_c_function(load_file) }?;
    for (module, ..) in FILES {
        preload.set(module, &load)?;
    }
    Ok(())
}

/// Loads the file of the module whose name is the first argument. A C function that owns nothing, since the collector
/// takes what functions of mlua's own before the last finalizers of a program run.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn load_file(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `state` is the one that runs, and has room for a few values. No Rust value lives where Lua may raise.
    unsafe {
        let mut length = 0;
        let name = ffi::luaL_checklstring(state, 1, &raw mut length);
        let name = slice::from_raw_parts(name.cast::<u8>(), length);
        let Some((_, chunk, source)) = FILES.into_iter().find(|(module, ..)| module.as_bytes() == name) else {
            return 0;
        };
        push_source(state, chunk, source);
        ffi::lua_pushlstring(state, chunk.as_ptr().cast(), chunk.len());
        let source = ffi::lua_tolstring(state, -2, &raw mut length);
        if ffi::luaL_loadbuffer(state, source, length, ffi::lua_tostring(state, -1)) != ffi::LUA_OK {
            ffi::lua_error(state);
        }
        ffi::lua_pushvalue(state, 1);
        ffi::lua_call(state, 1, 1);
    }
    1
}

#[allow(unsafe_code)]
unsafe fn push_source(state: *mut ffi::lua_State, chunk: &str, source: &str) {
    let edited = edited(chunk);
    let source = edited.as_deref().unwrap_or(source);
    // SAFETY: the caller's. Only in a debug build is there something to lose where Lua has no memory.
    unsafe { ffi::lua_pushlstring(state, source.as_ptr().cast(), source.len()) };
}

/// Loads the Lua half: what `require "silly.store.etcd"` returns.
pub(super) fn load(lua: &Lua) -> LuaResult<LuaValue> {
    let require: LuaFunction = lua.globals().get("require")?;
    require.call("silly.store.etcd.module")
}
