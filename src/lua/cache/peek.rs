//! The value of a key in a cache, by the shortest way there is: a C function with the cache in its upvalue. By a method of
//! mlua's it takes twice as long, and programs ask for values by the million.
//!
//! In: a key, and the number of the change that Lua knows. Out: the value and the number of its change, true where that
//! is known, nil where there is no such key; false where it is not as simple as that. On the Lua thread.

use std::ffi::c_int;
use std::slice;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use mlua::ffi;
use mlua::prelude::*;

use crate::bridge::Owned;
use crate::etcd::{Cache, Peek};

/// What the function has in its upvalue. The collector takes it with the function.
struct Held {
    /// None once the collector has called for it, though finalizers may still call the function. Not what keeps the
    /// cache: that ends when it is closed.
    cache: Option<Owned<Weak<Cache>>>,
    /// What is being written, the last one on top: before Lua 5.3 the collector may run meanwhile, and its finalizers
    /// call the function too. They are dropped from here, since Lua leaves the function by `longjmp` when there is no
    /// memory.
    values: Vec<Bytes>,
}

/// The function.
#[allow(unsafe_code)]
pub(super) fn function(lua: &Lua, cache: &Arc<Cache>) -> LuaResult<LuaValue> {
    let mut place = std::ptr::null_mut::<Held>();
    // SAFETY: room for the few values is made sure of; nothing here has a destructor that an error of Lua's could jump
    // over, and one value is left. The block has its content before it has the metatable that drops that.
    let function: LuaValue = unsafe {
        lua.exec_raw((), |state| {
            ffi::luaL_checkstack(state, 4, std::ptr::null());
            place = ffi::lua_newuserdata(state, size_of::<Held>()).cast();
            place.write(Held {
                cache: None,
                values: Vec::new(),
            });
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushcfunction(state, collect);
            ffi::lua_setfield(state, -2, c"__gc".as_ptr());
            ffi::lua_setmetatable(state, -2);
            ffi::lua_pushcclosure(state, peek, 1);
        })
    }?;
    // SAFETY: `function` keeps the block from being collected.
    unsafe { (*place).cache = Some(Owned::new(Arc::downgrade(cache))) };
    Ok(function)
}

/// Called by the collector, once.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn collect(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the block is what the metatable with this function belongs to, and programs cannot reach either. It stays
    // as it is then, empty, so that the function may still look at it.
    unsafe {
        let held = ffi::lua_touserdata(state, 1).cast::<Held>();
        (*held).cache = None;
        (*held).values = Vec::new();
    }
    0
}

/// `peek(key, known?) -> value, change | true | nil | false`
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn peek(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalue is the block, which lives as long as this function; nobody else is in it, as this is the Lua
    // thread, but for finalizers that call this function while a value is pushed: no reference into the block is held
    // then, and they leave it as they have found it. Nothing that must be dropped lives where Lua may raise an error.
    unsafe {
        let held = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Held>();
        if ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
            ffi::lua_pushboolean(state, 0);
            return 1;
        }
        let cache = (*held).cache.as_ref().and_then(Owned::get);
        let Some(cache) = cache.and_then(Weak::upgrade) else {
            ffi::lua_pushboolean(state, 0);
            return 1;
        };
        let mut length = 0;
        let key = ffi::lua_tolstring(state, 1, &raw mut length);
        let key = slice::from_raw_parts(key.cast::<u8>(), length);
        let found = cache.peek(key, ffi::lua_tonumber(state, 2) as u64);
        drop(cache);
        match found {
            Peek::Known => ffi::lua_pushboolean(state, 1),
            Peek::None => ffi::lua_pushnil(state),
            Peek::Unknown => ffi::lua_pushboolean(state, 0),
            Peek::Value(value, change) => {
                let (start, length, depth) = (value.as_ptr(), value.len(), (*held).values.len());
                (*held).values.push(value);
                ffi::lua_pushlstring(state, start.cast(), length);
                ffi::lua_pushnumber(state, change as f64);
                (*held).values.truncate(depth);
                return 2;
            }
        }
    }
    1
}
