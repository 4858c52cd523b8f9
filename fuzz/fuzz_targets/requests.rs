//! Requests from Lua: bytes become Lua values, which become the arguments of every method of the module.
//!
//! In: bytes; `requests.lua` says how they are read. Out: a crash, a Lua error where none may be, or a request that is
//! answered, though the client is closed. The library is the one that Lua would load, in a Lua that is linked here.
#![no_main]

use std::cell::RefCell;
use std::ffi::c_int;
use std::ptr;

use libfuzzer_sys::fuzz_target;
use mlua::ffi;
use silly_etcd as _;

const SCRIPT: &str = include_str!("requests.lua");
/// The calls and their fields: what the script is called with.
const SCHEMA: &str = include_str!("../../spec/support/schema.lua");

unsafe extern "C-unwind" {
    fn luaopen_silly_store_etcd(state: *mut ffi::lua_State) -> c_int;
}

thread_local! {
    static STATE: RefCell<*mut ffi::lua_State> = const { RefCell::new(ptr::null_mut()) };
}

/// A lua_State with the script's function at the bottom of its stack.
fn open() -> *mut ffi::lua_State {
    unsafe {
        let state = ffi::luaL_newstate();
        ffi::luaL_openlibs(state);
        ffi::luaL_requiref(state, c"silly.store.etcd".as_ptr(), luaopen_silly_store_etcd, 0);
        ffi::lua_settop(state, 0);
        for (source, name) in [(SCRIPT, c"=requests.lua"), (SCHEMA, c"=schema.lua")] {
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
        let message = unsafe { std::ffi::CStr::from_ptr(ffi::lua_tostring(state, -1)) };
        panic!("{}", message.to_string_lossy());
    }
}

fuzz_target!(|data: &[u8]| {
    STATE.with_borrow_mut(|state| {
        if state.is_null() {
            *state = open();
        }
        unsafe {
            ffi::lua_settop(*state, 1);
            ffi::lua_pushvalue(*state, 1);
            ffi::lua_pushlstring(*state, data.as_ptr().cast(), data.len());
            check(*state, ffi::lua_pcall(*state, 1, 0, 0));
        }
    });
});
