//! The C function that Lua calls for `require "silly.store.etcd"`.
//!
//! In: a lua_State. Out: the module, or a Lua error. mlua sets itself up in the state first, and where there is no
//! memory for that it panics outside of what it catches, or reads what it has not written. In a state of another
//! version of Lua it reads what is not there.

use std::ffi::c_int;
use std::panic::catch_unwind;
use std::ptr;

use mlua::ffi;
use mlua::prelude::*;

/// More than mlua needs to set itself up.
const ROOM: usize = 64 << 10;

/// The version of Lua that the library is built for, as Lua itself numbers it. Only these two need to look: the library
/// for any other does not load elsewhere, for lack of a function that it calls.
#[cfg(feature = "lua54")]
const VERSION: c_int = 504;
#[cfg(feature = "lua55")]
const VERSION: c_int = 505;

/// # Safety
/// Lua calls it, with a state that runs.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn luaopen_silly_store_etcd(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the state outlives this call, and nothing in this frame needs to be dropped when `luaL_error` leaves it.
    unsafe {
        #[cfg(any(feature = "lua54", feature = "lua55"))]
        {
            let running = ffi::lua_version(state) as c_int;
            if running != VERSION {
                return ffi::luaL_error(
                    state,
                    c"silly.store.etcd is built for Lua %d.%d, this is Lua %d.%d".as_ptr(),
                    VERSION / 100,
                    VERSION % 100,
                    running / 100,
                    running % 100,
                );
            }
        }
        if !has_room(state) {
            ffi::lua_gc(state, ffi::LUA_GCCOLLECT, 0);
        }
        if !has_room(state) || catch_unwind(|| Lua::get_or_init_from_ptr(state)).is_err() {
            return ffi::luaL_error(state, c"not enough memory".as_ptr());
        }
        let results = Lua::entrypoint1(state, |lua| match super::open(lua) {
            Err(error) => error.to_string().into_lua(lua),
            opened => opened,
        });
        if ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
            // As text: a value of mlua's would say nothing to who cannot show it.
            ffi::lua_error(state);
        }
        results
    }
}

/// Would the state's allocator give that much?
#[allow(unsafe_code)]
unsafe fn has_room(state: *mut ffi::lua_State) -> bool {
    let mut data = ptr::null_mut();
    // SAFETY: this is how Lua itself calls its allocator, and the block is given back at once.
    unsafe {
        let allocate = ffi::lua_getallocf(state, &mut data);
        let block = allocate(data, ptr::null_mut(), 0, ROOM);
        if !block.is_null() {
            allocate(data, block, ROOM, 0);
        }
        !block.is_null()
    }
}
