//! May the running coroutine be suspended right here? From LuaJIT 2.1 and Lua 5.3 on Lua knows, also where its host has
//! left out `coroutine.isyieldable`. Before that the frames tell: one of a C function, `table.sort` say, cannot be left.
//! Of finalizers there is no trace, nor on 5.1 of metamethods.

use std::ffi::{CStr, c_int, c_void};
use std::mem::{MaybeUninit, transmute};

use mlua::ffi;
use mlua::prelude::*;
use once_cell::sync::OnceCell;

/// `isyieldable() -> boolean, problem`; with what to do instead, where there is something.
pub(super) struct IsYieldable;

/// What to do in the iterator of a for loop, which Lua 5.1 cannot leave either.
const ITERATOR: &CStr =
    c"Lua 5.1 cannot suspend a coroutine in the iterator of a for loop; call this outside of it, or \
    stream:read() in place of stream:events()";

/// C functions that can be left, `pcall` and `xpcall`, are in the upvalues; Lua 5.1 itself, unlike LuaJIT, has none.
const SPARED: [c_int; 2] = [ffi::lua_upvalueindex(1), ffi::lua_upvalueindex(2)];

impl IntoLua for IsYieldable {
    #[allow(unsafe_code)]
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        let globals = lua.globals();
        let spares = !cfg!(feature = "lua51") || globals.raw_get::<LuaValue>("jit")?.is_table();
        let spared = |name| if spares { globals.raw_get(name) } else { Ok(LuaNil) };
        let spared = (spared("pcall")?, spared("xpcall")?);
        // SAFETY: the two values become upvalues, and one is left; nothing here has to be dropped.
        unsafe { lua.exec_raw(spared, |state| ffi::lua_pushcclosure(state, isyieldable, 2)) }
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
            None => return look(state),
        }
    }
    1
}

/// Looks at the frames, from the caller of the running function on.
///
/// # Safety
/// `state` runs a function with these upvalues.
#[allow(unsafe_code)]
unsafe fn look(state: *mut ffi::lua_State) -> c_int {
    let mut frame = MaybeUninit::zeroed();
    // SAFETY: a frame is asked about only once Lua has filled it in. A C function has twenty slots, and no more than two
    // are taken at a time.
    unsafe {
        // As with `pcall`: Lua 5.1 itself can leave neither.
        let leaves_iterators = ffi::lua_type(state, SPARED[0]) != ffi::LUA_TNIL;
        for level in 1.. {
            if ffi::lua_getstack(state, level, frame.as_mut_ptr()) == 0 {
                break;
            }
            ffi::lua_getinfo(state, c"f".as_ptr(), frame.as_mut_ptr());
            let is_c = ffi::lua_iscfunction(state, -1) != 0;
            if is_c && !SPARED.iter().any(|&spared| ffi::lua_rawequal(state, -1, spared) != 0) {
                ffi::lua_pushboolean(state, 0);
                return 1;
            }
            // No function is there where a tail call has taken its place.
            let is_lua = !is_c && ffi::lua_type(state, -1) == ffi::LUA_TFUNCTION;
            ffi::lua_settop(state, 0);
            if is_lua && !leaves_iterators && iterates(state, frame.as_ptr()) {
                ffi::lua_pushboolean(state, 0);
                ffi::lua_pushstring(state, ITERATOR.as_ptr());
                return 2;
            }
        }
        ffi::lua_pushboolean(state, 1);
    }
    1
}

/// Is a loop calling its iterator in this frame? Only then is its control variable the last local one.
///
/// # Safety
/// The frame is one of a Lua function that `state` is in.
#[allow(unsafe_code)]
unsafe fn iterates(state: *mut ffi::lua_State, frame: *const ffi::lua_Debug) -> bool {
    let mut last = false;
    for at in 1.. {
        // SAFETY: the name belongs to Lua, which keeps it as long as the function; its value is taken off again.
        unsafe {
            let name = ffi::lua_getlocal(state, frame, at);
            if name.is_null() {
                break;
            }
            ffi::lua_settop(state, 0);
            match CStr::from_ptr(name).to_bytes() {
                b"(*temporary)" => break,
                name => last = name == b"(for control)",
            }
        }
    }
    last
}
