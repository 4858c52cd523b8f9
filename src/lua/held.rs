//! C functions that hold a value of Rust's in their first upvalue: the shortest way from Lua to here. By a method of
//! mlua's it takes two to three times as long.
//!
//! In: the value, and what else the function has in its upvalues. Out: the function. On the Lua thread.

use std::ffi::c_int;

use mlua::ffi;
use mlua::prelude::*;

/// `function` with `value` in its first upvalue, and `more` in the others.
///
/// # Safety
/// `function` asks for nothing else in its first upvalue than [`value`] does, of this type.
#[allow(unsafe_code)]
pub(super) unsafe fn function<T>(
    lua: &Lua,
    function: ffi::lua_CFunction,
    value: T,
    more: impl IntoLuaMulti,
) -> LuaResult<LuaFunction> {
    let mut place = std::ptr::null_mut::<Option<T>>();
    // SAFETY: room for the few values is made sure of; nothing here has a destructor that an error of Lua's could jump
    // over, and one value is left. The block has its content before it has the metatable that drops that.
    let function: LuaFunction = unsafe {
        lua.exec_raw(more, |state| {
            let more = ffi::lua_gettop(state);
            ffi::luaL_checkstack(state, 4, std::ptr::null());
            place = ffi::lua_newuserdata(state, size_of::<Option<T>>()).cast();
            place.write(None);
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushcfunction(state, collect::<T>);
            ffi::lua_setfield(state, -2, c"__gc".as_ptr());
            ffi::lua_setmetatable(state, -2);
            ffi::lua_insert(state, 1);
            ffi::lua_pushcclosure(state, function, more + 1);
        })
    }?;
    // SAFETY: `function` keeps the block from being collected.
    unsafe { *place = Some(value) };
    Ok(function)
}

/// The value of the running function; none once the collector has called for it, though finalizers may still call the
/// function.
///
/// # Safety
/// The function that runs in `state` was made by [`function`], with a value of this type. The reference does not outlive
/// the call, nor is it used after something that may run finalizers.
#[allow(unsafe_code)]
pub(super) unsafe fn value<'a, T>(state: *mut ffi::lua_State) -> Option<&'a T> {
    // SAFETY: the upvalue is the block, which lives as long as the function.
    unsafe {
        let block = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        (*block.cast::<Option<T>>()).as_ref()
    }
}

/// Called by the collector, once.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn collect<T>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the block is what the metatable with this function belongs to, and programs cannot reach either. It stays
    // as it is then, empty, so that the function may still look at it.
    unsafe { *ffi::lua_touserdata(state, 1).cast::<Option<T>>() = None };
    0
}
