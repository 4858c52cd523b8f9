//! What the table of a request holds, copied out straight from the Lua stack. mlua's own values cost several times
//! that.
//!
//! In: a Lua table. Out: its fields, each a name and a value. Nothing of the table is called or changed.

use std::ffi::c_int;
use std::slice;

use bytes::Bytes;
use mlua::ffi;
use mlua::prelude::*;
use zeroize::Zeroizing;

use super::cdata::Cdata;
use crate::etcd::{self, Code, Error};

/// A value of a request.
pub(super) enum Value {
    Nil,
    /// A string, by its bytes.
    Text(Bytes),
    /// What LuaJIT's FFI has made.
    Cdata(Box<Cdata>),
    /// Anything else.
    Other(LuaValue),
}

impl Value {
    pub(super) fn new(lua: &Lua, value: LuaValue) -> Self {
        match value {
            LuaNil => Self::Nil,
            LuaValue::String(text) => Self::Text(Bytes::copy_from_slice(&text.as_bytes())),
            cdata @ LuaValue::Other(_) => Self::Cdata(Box::new(Cdata::read(lua, &cdata))),
            other => Self::Other(other),
        }
    }

    /// The bytes of the argument of this name.
    pub(super) fn bytes(self, name: &str) -> etcd::Result<Bytes> {
        match self {
            Self::Text(bytes) => Ok(bytes),
            other => {
                let text = format!("the {name} must be a string, got {}", other.article());
                Err(Error::new(Code::InvalidArgument, text))
            }
        }
    }

    /// Drops it and leaves nothing of a text in memory.
    pub(super) fn wipe(self) {
        if let Self::Text(text) = self {
            drop(Zeroizing::new(Vec::from(text)));
        }
    }

    /// `a string`, `nil`, `a table`: how messages name what they got.
    pub(super) fn article(&self) -> String {
        match self {
            Self::Nil => "nil".to_owned(),
            Self::Text(_) => "a string".to_owned(),
            Self::Cdata(cdata) => format!("a {}", cdata.name),
            Self::Other(LuaValue::Integer(_) | LuaValue::Number(_)) => "a number".to_owned(),
            Self::Other(other) => format!("a {}", other.type_name()),
        }
    }
}

/// The text of a key, to compare it with many names.
pub(super) struct Name {
    /// `LONGEST` + 1 if no field has such a name.
    length: usize,
    text: [u8; LONGEST],
}

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
pub(super) struct Field {
    pub(super) name: Name,
    pub(super) value: Value,
}

impl Field {
    pub(super) fn new(name: &str, value: Value) -> Self {
        let name = Name::of(Some(name.as_bytes()));
        Self { name, value }
    }
}

/// A longer string is copied only where it is asked for: one string may stand in many fields.
const SHORT: usize = 1 << 10;

/// So many fields has a simple request at most.
const FEW: usize = 8;

/// Free slots of the stack while a field is read; Lua's own functions have twenty.
const SLOTS: c_int = 8;

/// The fields that `table` itself holds, and whether it has a metatable.
#[allow(unsafe_code)]
pub(super) fn read(lua: &Lua, table: &LuaTable) -> LuaResult<(Vec<Field>, bool)> {
    let mut fields = Vec::with_capacity(8);
    let mut inherits = false;
    // SAFETY: the stack of the protected call has the table first, then the values that are left for mlua, then the key
    // and the value at hand. `luaL_checkstack` and `lua_next` may leave the call by `longjmp`; nothing is held then
    // that would have to be dropped, for `fields` lives outside.
    let left: LuaMultiValue = unsafe {
        lua.exec_raw(table, |state| {
            inherits = ffi::lua_getmetatable(state, 1) != 0;
            ffi::lua_settop(state, 1);
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, 1) != 0 {
                ffi::luaL_checkstack(state, SLOTS, c"too many values".as_ptr());
                let value = plain(state, -1);
                match value {
                    Value::Nil => ffi::lua_insert(state, -2),
                    _ => ffi::lua_settop(state, -2),
                }
                let name = Name::of(text(state, -1));
                fields.push(Field { name, value });
            }
            ffi::lua_remove(state, 1);
        })?
    };
    let unread = fields.iter_mut().filter(|field| matches!(field.value, Value::Nil));
    for (field, value) in unread.zip(left) {
        field.value = Value::Other(value);
    }
    Ok((fields, inherits))
}

/// The fields that the table at `index` holds, if it has no metatable and they are few, short and of simple types.
///
/// # Safety
/// `state` runs, has a table there and a few slots.
#[allow(unsafe_code)]
pub(super) unsafe fn read_simple(state: *mut ffi::lua_State, index: c_int) -> Option<Vec<Field>> {
    let mut fields = Vec::with_capacity(FEW);
    // SAFETY: nothing here raises an error: `lua_next` does so only for a key that is not in the table.
    unsafe {
        if ffi::lua_getmetatable(state, index) != 0 {
            return None;
        }
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, index) != 0 {
            let value = plain(state, -1);
            if matches!(value, Value::Nil) || fields.len() == FEW {
                return None;
            }
            ffi::lua_settop(state, -2);
            let name = Name::of(text(state, -1));
            fields.push(Field { name, value });
        }
    }
    Some(fields)
}

/// The string at `index`.
///
/// # Safety
/// `state` runs and has a value there, which outlives the slice.
#[allow(unsafe_code)]
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

/// The value at `index`; nil for one that is left for mlua: what Lua refers to, and long strings.
///
/// # Safety
/// `state` runs and has a value there.
#[allow(unsafe_code)]
unsafe fn plain(state: *mut ffi::lua_State, index: c_int) -> Value {
    // SAFETY: none of these raises an error or changes the stack.
    unsafe {
        let value = match ffi::lua_type(state, index) {
            ffi::LUA_TBOOLEAN => LuaValue::Boolean(ffi::lua_toboolean(state, index) != 0),
            ffi::LUA_TNUMBER if ffi::lua_isinteger(state, index) != 0 => {
                LuaValue::Integer(ffi::lua_tointeger(state, index) as LuaInteger)
            }
            ffi::LUA_TNUMBER => LuaValue::Number(ffi::lua_tonumber(state, index)),
            _ => match text(state, index) {
                Some(text) if text.len() <= SHORT => return Value::Text(Bytes::copy_from_slice(text)),
                _ => return Value::Nil,
            },
        };
        Value::Other(value)
    }
}
