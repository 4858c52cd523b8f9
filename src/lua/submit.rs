//! A call of `put`, `get` or `delete` with a simple request, by the shortest way there is: a C function that makes the
//! waiter and submits the operation. By a method of mlua's it takes two to three times as long.
//!
//! In: the request. Out: the waiter; nothing where it is not as simple as that, or wrong: the native half's method of
//! that name then sees to it. On the Lua thread.

use std::ffi::c_int;
use std::rc::{Rc, Weak};

use mlua::prelude::*;
use mlua::{WeakLua, ffi};

use super::call::{Call, submit_fields};
use super::client::Handle;
use super::fields::Fields;
use super::get::Get;
use super::held;
use super::take::place;
use super::value::{Field, read_simple};
use crate::bridge::Owned;
use crate::etcd::{Client, pb};

/// Submits a request of these fields. Returns the id of the operation.
type Submit = fn(&Lua, &Client, Vec<Field>) -> Option<u64>;

/// The calls that have this way. Lua knows them by their places here, from 1 on.
pub(super) const CALLS: [(&str, Submit); 3] = [row::<pb::PutRequest>(), row::<Get>(), row::<pb::DeleteRangeRequest>()];

const fn row<C: Call>() -> (&'static str, Submit) {
    let submit: Submit = |lua, client, own| submit_fields::<C>(Fields::simple(lua, C::NAME, C::REQUIRED, own), client);
    (C::NAME, submit)
}

/// What the function has in its first upvalue.
struct Submitter {
    lua: WeakLua,
    client: Weak<Owned<Handle>>,
}

/// The function of one client. `waiters` has those of all operations under way, by their ids, and `mt` is the metatable
/// of each.
#[allow(unsafe_code)]
pub(super) fn function(
    lua: &Lua,
    client: &Rc<Owned<Handle>>,
    waiters: LuaTable,
    mt: LuaTable,
) -> LuaResult<LuaFunction> {
    let submitter = Submitter {
        lua: lua.weak(),
        client: Rc::downgrade(client),
    };
    // SAFETY: `submit` asks for a `Submitter`.
    unsafe { held::function(lua, submit, submitter, (waiters, mt)) }
}

/// `submit(owner, call, name, request, more) -> waiter | nil`
#[allow(unsafe_code)]
unsafe extern "C-unwind" fn submit(state: *mut ffi::lua_State) -> c_int {
    const OWNER: c_int = 1;
    const CALL: c_int = 2;
    const NAME: c_int = 3;
    const REQUEST: c_int = 4;
    const WAITER: c_int = 5;
    // SAFETY: the upvalues are those of `function`, and a C function has twenty slots. Lua may raise an error, of memory,
    // while the waiter is made and while it is entered among the others: nothing is held then that must be dropped.
    unsafe {
        if ffi::lua_type(state, REQUEST) != ffi::LUA_TTABLE || ffi::lua_type(state, REQUEST + 1) > ffi::LUA_TNIL {
            return 0;
        }
        ffi::lua_settop(state, REQUEST);
        // Before the operation is submitted: finalizers may run now, and make calls.
        ffi::lua_createtable(state, place::LAST, 0);
        for at in 1..=place::LAST {
            match at {
                place::OWNER => ffi::lua_pushvalue(state, OWNER),
                place::NAME => ffi::lua_pushvalue(state, NAME),
                _ => ffi::lua_pushboolean(state, 0),
            }
            ffi::lua_rawseti(state, WAITER, at.into());
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(3));
        ffi::lua_setmetatable(state, WAITER);
        let call = ffi::lua_tonumber(state, CALL) as usize;
        let Some(id) = begin(state, call, REQUEST) else {
            return 0;
        };
        ffi::lua_pushinteger(state, id as ffi::lua_Integer);
        ffi::lua_rawseti(state, WAITER, place::ID.into());
        ffi::lua_pushinteger(state, id as ffi::lua_Integer);
        ffi::lua_pushvalue(state, WAITER);
        ffi::lua_rawset(state, ffi::lua_upvalueindex(2));
        ffi::lua_settop(state, WAITER);
    }
    1
}

/// Submits the request at `index`, and drops what it takes for that.
///
/// # Safety
/// As `submit`, which calls it; nothing here raises an error of Lua's.
#[allow(unsafe_code)]
unsafe fn begin(state: *mut ffi::lua_State, call: usize, index: c_int) -> Option<u64> {
    // SAFETY: the value is not used when finalizers may run: that is before and after this function.
    let (lua, client) = unsafe {
        let Submitter { lua, client } = held::value::<Submitter>(state)?;
        (lua.try_upgrade()?, client.upgrade()?)
    };
    let client = client.get()?.open()?;
    let (_, submit) = CALLS.get(call.wrapping_sub(1))?;
    // SAFETY: there is a table.
    let own = unsafe { read_simple(state, index) }?;
    submit(&lua, client, own)
}
