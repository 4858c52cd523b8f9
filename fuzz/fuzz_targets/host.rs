//! A lua_State with the library in it, for the targets that have a script. The library is the one that Lua would load,
//! in a Lua that is linked here.
//!
//! In: the script, which returns a function, and a string for that. Out: a panic where it raises an error.

use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;
use silly_etcd as _;

/// The calls and their fields: what a script is called with.
const SCHEMA: &str = include_str!("../../spec/support/schema.lua");

unsafe extern "C-unwind" {
    fn luaopen_silly_store_etcd(state: *mut ffi::lua_State) -> c_int;
}

thread_local! {
    static STATE: RefCell<*mut ffi::lua_State> = const { RefCell::new(ptr::null_mut()) };
}

/// Calls the function of this script. One state serves all runs.
pub fn run(script: &str, data: &[u8]) {
    STATE.with_borrow_mut(|state| {
        if state.is_null() {
            *state = open(script);
        }
        unsafe {
            ffi::lua_settop(*state, 1);
            ffi::lua_pushvalue(*state, 1);
            ffi::lua_pushlstring(*state, data.as_ptr().cast(), data.len());
            check(*state, ffi::lua_pcall(*state, 1, 0, 0));
        }
    });
}

/// A lua_State with the script's function at the bottom of its stack.
fn open(script: &str) -> *mut ffi::lua_State {
    unsafe {
        let state = ffi::luaL_newstate();
        ffi::luaL_openlibs(state);
        ffi::luaL_requiref(state, c"silly.store.etcd".as_ptr(), luaopen_silly_store_etcd, 0);
        ffi::lua_settop(state, 0);
        for (source, name) in [(script, c"=script"), (SCHEMA, c"=schema.lua")] {
            let loaded = ffi::luaL_loadbuffer(state, source.as_ptr().cast(), source.len(), name.as_ptr());
            check(state, loaded);
        }
        check(state, ffi::lua_pcall(state, 0, 1, 0));
        check(state, ffi::lua_pcall(state, 1, 1, 0));
        state
    }
}

fn check(state: *mut ffi::lua_State, status: c_int) {
    if status != ffi::LUA_OK {
        let message = unsafe { CStr::from_ptr(ffi::lua_tostring(state, -1)) };
        panic!("{}", message.to_string_lossy());
    }
}
