//! What has completed, by the shortest way there is: a C function with the waiters in its upvalues. By a method of
//! mlua's it takes twice as long, and every call comes this way.
//!
//! In: nothing. Out: a waiter that is done now, with its results; nil where nothing has completed, and how many results
//! have been taken ever; false where `core:next()` is to be asked. On the Lua thread.

use std::ffi::c_int;

use mlua::prelude::*;
use mlua::{WeakLua, ffi};

use super::held;
use super::operation::{Plain, bridge};
use super::table;

/// What is where in a waiter; `lua/silly/store/etcd/await.lua` says what that is. The results come first.
pub(super) mod place {
    use std::ffi::c_int;

    pub(in crate::lua) const RESULT: c_int = 1;
    pub(in crate::lua) const DONE: c_int = 4;
    pub(in crate::lua) const ID: c_int = 5;
    pub(in crate::lua) const OWNER: c_int = 7;
    pub(in crate::lua) const NAME: c_int = 8;
    pub(in crate::lua) const LAST: c_int = 9;
}

/// The function. `waiters` has those of all operations under way, by their ids.
#[allow(unsafe_code)]
pub(super) fn function(lua: &Lua, waiters: LuaTable) -> LuaResult<LuaFunction> {
    // SAFETY: `write` and `take` are called by Lua, with what they expect.
    unsafe {
        let write = lua.create_c_function(write)?;
        held::function(lua, take, lua.weak(), (waiters, write))
    }
}

/// `take() -> waiter | nil, taken | false`
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn take(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalues are those of `function`, and the stack has room for a few values. What may raise an error is
    // called in protected mode; no other function of Lua's here does: the places of a waiter and its entry among the
    // waiters are there already. So no destructor is jumped over.
    unsafe {
        let Some(lua) = held::value(state).and_then(WeakLua::try_upgrade) else {
            return 0;
        };
        loop {
            let Ok(bridge) = bridge(&lua) else { return 0 };
            if bridge.is_abandoned() {
                ffi::lua_pushboolean(state, 0);
                return 1;
            }
            let Some((id, outcome)) = bridge.take() else {
                ffi::lua_pushnil(state);
                ffi::lua_pushinteger(state, bridge.taken() as ffi::lua_Integer);
                return 2;
            };
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
                ffi::lua_rawseti(state, -2, place::RESULT.into());
                ffi::lua_pushboolean(state, 1);
                ffi::lua_rawseti(state, -2, place::DONE.into());
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
