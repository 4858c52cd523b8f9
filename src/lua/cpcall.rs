//! Lua 5.1 lets the collector work at the end of `lua_cpcall`. mlua makes its functions there, puts them into two places
//! of the registry and takes them out once it has returned: a finalizer that calls this library in between leaves others
//! in these places, and the wrong one would run. So mlua is given this `lua_cpcall`, which nobody outside of the library
//! sees.

#![allow(unsafe_code)]

use std::arch::global_asm;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::transmute;

use mlua::ffi;
use once_cell::sync::OnceCell;

type CPCall = unsafe extern "C-unwind" fn(*mut ffi::lua_State, ffi::lua_CFunction, *mut c_void) -> c_int;

thread_local! {
    /// How many calls have begun on this thread.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

global_asm!(".hidden lua_cpcall");

/// Calls Lua's own, and where another call has come in between once more, without the collector. What mlua calls so
/// that it succeeds may be done twice.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn lua_cpcall(
    state: *mut ffi::lua_State,
    function: ffi::lua_CFunction,
    data: *mut c_void,
) -> c_int {
    static OWN: OnceCell<Option<CPCall>> = OnceCell::new();
    // SAFETY: Lua's own function of this name has this type, and gets what its caller means for it.
    unsafe {
        let found = || libc::dlsym(libc::RTLD_DEFAULT, c"lua_cpcall".as_ptr());
        let Some(own) = OWN.get_or_init(|| transmute::<*mut c_void, Option<CPCall>>(found())) else {
            ffi::lua_pushnil(state);
            return ffi::LUA_ERRRUN;
        };
        let begun = BEGUN.get() + 1;
        BEGUN.set(begun);
        let status = own(state, function, data);
        if status != ffi::LUA_OK || BEGUN.get() == begun {
            return status;
        }
        ffi::lua_gc(state, ffi::LUA_GCSTOP, 0);
        let status = own(state, function, data);
        ffi::lua_gc(state, ffi::LUA_GCRESTART, 0);
        status
    }
}
