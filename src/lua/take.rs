//! What has completed, by the shortest way there is: a C function with the waiters in its upvalues. By a method of mlua's
//! it takes twice as long, and every call comes this way.
//!
//! In: nothing. Out: a waiter that is done now, with its results; nil where nothing has completed; false where
//! `core:next()` is to be asked. On the Lua thread.

use std::ffi::c_int;

use mlua::prelude::*;
use mlua::{WeakLua, ffi};

use super::operation::{Plain, bridge};
use super::table;

/// The places of a waiter that are written here; `lua/silly/store/etcd/await.lua` has the others.
const RESULT: ffi::lua_Integer = 1;
const DONE: ffi::lua_Integer = 4;

/// What the function has in its first upvalue.
struct Held {
    /// None once the collector has called for it, though finalizers may still call the function.
    lua: Option<WeakLua>,
}

/// The function. `waiters` has those of all operations under way, by their ids.
#[allow(unsafe_code)]
pub(super) fn function(lua: &Lua, waiters: LuaTable) -> LuaResult<LuaValue> {
    let mut place = std::ptr::null_mut::<Held>();
    // SAFETY: room for the few values is made sure of; nothing here has a destructor that an error of Lua's could jump
    // over, and one value is left. The block has its content before it has the metatable that drops that.
    let function: LuaValue = unsafe {
        lua.exec_raw(waiters, |state| {
            ffi::luaL_checkstack(state, 5, std::ptr::null());
            place = ffi::lua_newuserdata(state, size_of::<Held>()).cast();
            place.write(Held { lua: None });
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushcfunction(state, collect);
            ffi::lua_setfield(state, -2, c"__gc".as_ptr());
            ffi::lua_setmetatable(state, -2);
            ffi::lua_insert(state, 1);
            ffi::lua_pushcfunction(state, write);
            ffi::lua_pushcclosure(state, take, 3);
        })
    }?;
    // SAFETY: `function` keeps the block from being collected.
    unsafe { (*place).lua = Some(lua.weak()) };
    Ok(function)
}

/// Called by the collector, once.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn collect(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the block is what the metatable with this function belongs to, and programs cannot reach either. It stays
    // as it is then, empty, so that the function may still look at it.
    unsafe { (*ffi::lua_touserdata(state, 1).cast::<Held>()).lua = None };
    0
}

/// `take() -> waiter | nil | false`
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn take(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalues are those of `function`, and the stack has room for a few values. What may raise an error is
    // called in protected mode; no other function of Lua's here does: the places of a waiter and its entry among the
    // waiters are there already. So no destructor is jumped over.
    unsafe {
        let held = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Held>();
        let Some(lua) = (*held).lua.as_ref().and_then(WeakLua::try_upgrade) else {
            return 0;
        };
        loop {
            let Ok(bridge) = bridge(&lua) else { return 0 };
            if bridge.is_abandoned() {
                ffi::lua_pushboolean(state, 0);
                return 1;
            }
            let Some((id, outcome)) = bridge.take() else { return 0 };
            let Some(plain) = outcome.plain() else {
                bridge.leave(id, outcome);
                ffi::lua_pushboolean(state, 0);
                return 1;
            };
            // Finalizers may run while it is written, and take results too.
            drop(bridge);
            match plain {
                Plain::True => ffi::lua_pushboolean(state, 1),
                Plain::Message(message) => {
                    ffi::lua_pushvalue(state, ffi::lua_upvalueindex(3));
                    ffi::lua_pushlightuserdata(state, (&raw const message).cast_mut().cast());
                    if ffi::lua_pcall(state, 1, 1, 0) != ffi::LUA_OK {
                        ffi::lua_settop(state, 0);
                        if let Ok(bridge) = self::bridge(&lua) {
                            bridge.leave(id, Box::new(outcome.unwritten()));
                        }
                        ffi::lua_pushboolean(state, 0);
                        return 1;
                    }
                }
            }
            drop(outcome);
            let id = id as ffi::lua_Integer;
            ffi::lua_pushinteger(state, id);
            ffi::lua_rawget(state, ffi::lua_upvalueindex(2));
            // Where nobody waits for it any more it is forgotten.
            if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                ffi::lua_insert(state, -2);
                ffi::lua_rawseti(state, -2, RESULT);
                ffi::lua_pushboolean(state, 1);
                ffi::lua_rawseti(state, -2, DONE);
                ffi::lua_pushinteger(state, id);
                ffi::lua_pushnil(state);
                ffi::lua_rawset(state, ffi::lua_upvalueindex(2));
                return 1;
            }
            ffi::lua_settop(state, 0);
        }
    }
}

/// Called in protected mode: `write(message)` returns its table.
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn write(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `take` has pushed the place of the message, which it owns meanwhile.
    unsafe {
        let message = ffi::lua_touserdata(state, 1).cast::<&dyn table::Push>();
        table::push(state, *message);
    }
    1
}
