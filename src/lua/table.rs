//! Writes answers: Lua tables, field by field, straight on the Lua stack. mlua's own tables cost several times that.
//!
//! In: numbers, strings and messages by reference. Out: one Lua value. Every field is written, zero values included.
//!
//! 64-bit numbers: integers where this Lua has them, an unsigned one by its bits. Elsewhere ids are decimal strings, but
//! for 0, which is none, and other numbers are numbers as long as a number can hold them exactly.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::io::{Cursor, Write};

use mlua::ffi;
use mlua::prelude::*;

use super::integer;

/// The slots that writing one table needs at most: the table, a field in it, a list in that, and one more.
const SLOTS: c_int = 8;

/// Builds a table. `fill` runs inside a protected call: when memory runs out, Lua leaves it by `longjmp`. So it, and
/// what it calls, must own nothing that needs to be dropped; answers are borrowed from outside.
pub(super) fn build(lua: &Lua, fill: impl FnOnce(&mut Table)) -> LuaResult<LuaValue> {
    // SAFETY: the stack has room for the table, `Table` keeps it balanced, and no destructor is jumped over.
    unsafe { lua.exec_raw((), |state| Table { state }.push_table(fill)) }
}

/// The table at the top of the stack.
pub(super) struct Table {
    state: *mut ffi::lua_State,
}

// SAFETY, for every block below: `state` is the running state of the protected call in `build`, `push_table` has
// made sure of SLOTS free slots, and each method leaves the stack as it found it, the `push_` ones one value higher.
impl Table {
    /// A signed number: a revision, a count, a TTL.
    pub(super) fn integer(&mut self, name: &CStr, value: i64) {
        self.push_integer(value);
        self.set(name);
    }

    /// A signed id.
    pub(super) fn id(&mut self, name: &CStr, value: i64) {
        self.push_id(value, value.into());
        self.set(name);
    }

    /// An unsigned id.
    pub(super) fn unsigned(&mut self, name: &CStr, value: u64) {
        self.push_id(value.cast_signed(), value.into());
        self.set(name);
    }

    /// A number with a fraction: seconds.
    pub(super) fn number(&mut self, name: &CStr, value: f64) {
        unsafe { ffi::lua_pushnumber(self.state, value) };
        self.set(name);
    }

    /// A text under a name that is not known before.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.push_bytes(name.as_bytes());
        self.push_bytes(value.as_bytes());
        unsafe { ffi::lua_rawset(self.state, -3) };
    }

    /// A boolean.
    pub(super) fn flag(&mut self, name: &CStr, value: bool) {
        unsafe { ffi::lua_pushboolean(self.state, value.into()) };
        self.set(name);
    }

    /// A byte string.
    pub(super) fn bytes(&mut self, name: &CStr, value: &[u8]) {
        self.push_bytes(value);
        self.set(name);
    }

    /// A text.
    pub(super) fn text(&mut self, name: &CStr, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    /// A table in this one.
    pub(super) fn table(&mut self, name: &CStr, fill: impl FnOnce(&mut Self)) {
        self.push_table(fill);
        self.set(name);
    }

    /// A list. `push` pushes one item.
    pub(super) fn list<T>(&mut self, name: &CStr, items: &[T], push: impl Fn(&mut Self, &T)) {
        unsafe { ffi::lua_createtable(self.state, items.len() as c_int, 0) };
        for (i, item) in items.iter().enumerate() {
            push(self, item);
            unsafe { ffi::lua_rawseti(self.state, -2, i as ffi::lua_Integer + 1) };
        }
        self.set(name);
    }

    /// A field that may be missing, which is nil.
    pub(super) fn optional<T: ?Sized>(&mut self, name: &CStr, value: Option<&T>, push: impl FnOnce(&mut Self, &T)) {
        if let Some(value) = value {
            push(self, value);
            self.set(name);
        }
    }

    pub(super) fn push_table(&mut self, fill: impl FnOnce(&mut Self)) {
        unsafe {
            ffi::luaL_checkstack(self.state, SLOTS, c"answer nested too deep".as_ptr());
            ffi::lua_createtable(self.state, 0, 6);
        }
        fill(self);
    }

    pub(super) fn push_bytes(&mut self, value: &[u8]) {
        unsafe { ffi::lua_pushlstring(self.state, value.as_ptr().cast(), value.len()) };
    }

    pub(super) fn push_integer(&mut self, value: i64) {
        if integer::NATIVE {
            unsafe { ffi::lua_pushinteger(self.state, value as ffi::lua_Integer) };
        } else if integer::exact(value as f64) {
            unsafe { ffi::lua_pushnumber(self.state, value as ffi::lua_Number) };
        } else {
            self.push_decimal(value.into());
        }
    }

    /// An id, by its bits and as it is written.
    fn push_id(&mut self, bits: i64, value: i128) {
        if integer::NATIVE || bits == 0 {
            self.push_integer(bits);
        } else {
            self.push_decimal(value);
        }
    }

    fn push_decimal(&mut self, value: i128) {
        let mut digits = Cursor::new([0; 40]);
        // 40 bytes hold every number of 128 bits.
        let _ = write!(digits, "{value}");
        let length = digits.position() as usize;
        self.push_bytes(&digits.get_ref()[..length]);
    }

    /// Moves the value at the top into the table below it.
    fn set(&mut self, name: &CStr) {
        unsafe { ffi::lua_setfield(self.state, -2, name.as_ptr()) };
    }
}
