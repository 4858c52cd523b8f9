//! May the running coroutine be suspended right here? LuaJIT knows, also where its host has left out
//! `coroutine.isyieldable`.

use std::ffi::{c_int, c_void};
use std::mem::transmute;

use mlua::ffi;
use mlua::prelude::*;
use once_cell::sync::OnceCell;

/// `isyieldable() -> boolean`, or nil where this Lua does not tell.
pub(super) struct IsYieldable;

impl IntoLua for IsYieldable {
    #[allow(unsafe_code)]
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        // SAFETY: it leaves one value in the state that it is called with, and drops nothing.
        unsafe { lua.create_c_function(isyieldable) }.map(LuaValue::Function)
    }
}

type Ask = unsafe extern "C" fn(*mut ffi::lua_State) -> c_int;

/// Called by Lua itself: a function of mlua's might be called with another state, or in protected mode.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn isyieldable(state: *mut ffi::lua_State) -> c_int {
    static ASK: OnceCell<Option<Ask>> = OnceCell::new();
    // SAFETY: Lua's own function of this name has this type, and `state` is the one that runs.
    unsafe {
        let found = || libc::dlsym(libc::RTLD_DEFAULT, c"lua_isyieldable".as_ptr());
        match ASK.get_or_init(|| transmute::<*mut c_void, Option<Ask>>(found())) {
            Some(ask) => ffi::lua_pushboolean(state, ask(state)),
            None => ffi::lua_pushnil(state),
        }
    }
    1
}
