//! What the table of a request holds, copied out straight from the Lua stack. mlua's own values cost several times that.
//!
//! In: a Lua table. Out: its fields, each a name and a value. Nothing of the table is called or changed.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::slice;

use bytes::Bytes;
use mlua::ffi;
use mlua::prelude::*;

/// A value of a request.
pub(super) enum Value {
    /// A string, by its bytes.
    Text(Bytes),
    /// Anything else.
    Other(LuaValue),
}

impl Value {
    pub(super) const NIL: Self = Self::Other(LuaNil);

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Other(LuaNil))
    }

    /// `a string`, `nil`, `a table`: how messages name what they got.
    pub(super) fn article(&self) -> String {
        match self {
            Self::Text(_) => "a string".to_owned(),
            Self::Other(LuaNil) => "nil".to_owned(),
            Self::Other(LuaValue::Integer(_) | LuaValue::Number(_)) => "a number".to_owned(),
            Self::Other(other) => format!("a {}", other.type_name()),
        }
    }

    /// Tells one table from another.
    pub(super) fn to_pointer(&self) -> *const c_void {
        match self {
            Self::Text(text) => text.as_ptr().cast(),
            Self::Other(other) => other.to_pointer(),
        }
    }
}

impl From<LuaValue> for Value {
    fn from(value: LuaValue) -> Self {
        match value {
            LuaValue::String(text) => Self::Text(Bytes::copy_from_slice(&text.as_bytes())),
            other => Self::Other(other),
        }
    }
}

/// The text of a key, to compare it with many names.
pub(super) struct Name {
    /// `LONGEST` + 1 if no field has such a name.
    length: usize,
    text: [u8; LONGEST],
}

/// What `own` needs at most beyond the values that are left: a key, a value, and one more.
const SLOTS: c_int = 4;

/// No field has a longer name.
const LONGEST: usize = 24;

impl Name {
    fn of(key: Option<&[u8]>) -> Self {
        let mut name = Self {
            length: LONGEST + 1,
            text: [0; LONGEST],
        };
        if let Some(key) = key
            && let Some(text) = name.text.get_mut(..key.len())
        {
            text.copy_from_slice(key);
            name.length = key.len();
        }
        name
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.text.get(..self.length) == Some(name.as_bytes())
    }
}

/// A field that a table itself holds.
pub(super) struct Own {
    pub(super) name: Name,
    pub(super) value: Value,
}

/// The fields that `table` itself holds, and whether it has a metatable.
pub(super) fn own(lua: &Lua, table: &LuaTable) -> LuaResult<(Vec<Own>, bool)> {
    let mut own = Vec::with_capacity(8);
    let mut inherits = false;
    // SAFETY: the stack of the protected call has the table first, then the values that are left for mlua, then the key
    // and the value at hand. What leaves the call by `longjmp`, `luaL_checkstack` or `lua_next`, leaves nothing behind
    // that would have to be dropped: `own` lives outside.
    let complex: LuaMultiValue = unsafe {
        lua.exec_raw(table, |state| {
            inherits = ffi::lua_getmetatable(state, 1) != 0;
            ffi::lua_settop(state, 1);
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, 1) != 0 {
                let value = plain(state, -1);
                if value.is_nil() {
                    ffi::luaL_checkstack(state, SLOTS, c"too many tables in it".as_ptr());
                    ffi::lua_insert(state, -2);
                } else {
                    ffi::lua_settop(state, -2);
                }
                let name = Name::of(text(state, -1));
                own.push(Own { name, value });
            }
            ffi::lua_remove(state, 1);
        })?
    };
    let places = own.iter_mut().filter(|own| own.value.is_nil());
    for (own, value) in places.zip(complex) {
        own.value = Value::Other(value);
    }
    Ok((own, inherits))
}

/// The string at `index`.
///
/// # Safety
/// `state` runs and has a value there, which outlives the slice.
unsafe fn text<'a>(state: *mut ffi::lua_State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: `lua_tolstring` changes numbers only, and a string's bytes are where it says.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut length = 0;
        let start = ffi::lua_tolstring(state, index, &mut length);
        Some(slice::from_raw_parts(start.cast(), length))
    }
}

/// The value at `index`; nil for one that Lua refers to.
///
/// # Safety
/// `state` runs and has a value there.
unsafe fn plain(state: *mut ffi::lua_State, index: c_int) -> Value {
    // SAFETY: none of these raises an error or changes the stack.
    unsafe {
        if let Some(text) = text(state, index) {
            return Value::Text(Bytes::copy_from_slice(text));
        }
        Value::Other(match ffi::lua_type(state, index) {
            ffi::LUA_TBOOLEAN => LuaValue::Boolean(ffi::lua_toboolean(state, index) != 0),
            ffi::LUA_TNUMBER if ffi::lua_isinteger(state, index) != 0 => {
                LuaValue::Integer(ffi::lua_tointeger(state, index) as LuaInteger)
            }
            ffi::LUA_TNUMBER => LuaValue::Number(ffi::lua_tonumber(state, index)),
            _ => LuaNil,
        })
    }
}
