//! Writes responses: Lua tables, straight on the Lua stack. mlua's own tables cost several times that. Here are those of
//! our own, field by field; `wire` has what servers send.
//!
//! In: numbers, strings and messages by reference. Out: one Lua value. Every field is written, zero values included.
//!
//! 64-bit numbers: integers where this Lua has them, an unsigned one by its bits. Elsewhere ids are decimal strings,
//! but for 0, which is none, and other numbers are numbers as long as a number can hold them exactly.

use std::ffi::{CStr, c_int};
use std::io::{Cursor, Write};

use mlua::ffi;
use mlua::prelude::*;

use super::integer;
use super::wire::push_constructors;

/// The slots that writing one table needs at most: the table, a field in it, a list in that, and one more.
pub(super) const SLOTS: c_int = 8;

/// What has a table of its own.
///
/// # Safety
///
/// As of [`Push`].
#[allow(unsafe_code)]
pub(super) unsafe trait Encode {
    /// Writes all its fields.
    fn encode(&self, table: &mut Table);
}

/// What can be written as one value.
///
/// # Safety
///
/// When memory runs out Lua leaves `push` by `longjmp`. So it, and what it calls, must own nothing that needs to be
/// dropped: messages are borrowed from outside.
#[allow(unsafe_code)]
pub(super) unsafe trait Push {
    /// Pushes it.
    fn push(&self, table: &mut Table);
}

// SAFETY: `Encode` promises it.
#[allow(unsafe_code)]
unsafe impl<T: Encode> Push for T {
    fn push(&self, table: &mut Table) {
        table.push_table(|table| self.encode(table));
    }
}

/// The value of a message.
#[allow(unsafe_code)]
pub(super) fn build(lua: &Lua, message: &impl Push) -> LuaResult<LuaValue> {
    // SAFETY: the stack has room for two values, `Table` keeps it balanced, and `Push` promises that no destructor is
    // jumped over.
    unsafe { lua.exec_raw((), |state| push(state, message)) }
}

/// Pushes the value of a message.
///
/// # Safety
/// `state` runs in a protected call, of a function that owns nothing, and the stack has room for two values.
#[allow(unsafe_code)]
pub(super) unsafe fn push(state: *mut ffi::lua_State, message: &dyn Push) {
    // SAFETY: the caller promises it.
    unsafe {
        push_constructors(state);
        let constructors = ffi::lua_gettop(state);
        message.push(&mut Table { state, constructors });
        ffi::lua_replace(state, constructors);
    }
}

/// The table at the top of the stack.
///
/// What holds for every method: `state` is the running state of the protected call in `build`, `push_table` has made
/// sure of SLOTS free slots, and the stack is left as it was found, by the `push_` methods one value higher.
pub(super) struct Table {
    pub(super) state: *mut ffi::lua_State,
    /// Where the constructors of messages lie.
    pub(super) constructors: c_int,
}

#[allow(unsafe_code)]
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
    pub(super) fn unsigned_id(&mut self, name: &CStr, value: u64) {
        self.push_id(value.cast_signed(), value.into());
        self.set(name);
    }

    /// A number with a fraction: seconds.
    pub(super) fn number(&mut self, name: &CStr, value: f64) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_pushnumber(self.state, value) };
        self.set(name);
    }

    /// A text under a name that is not known before.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.push_bytes(name.as_bytes());
        self.push_bytes(value.as_bytes());
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_rawset(self.state, -3) };
    }

    /// A boolean.
    pub(super) fn flag(&mut self, name: &CStr, value: bool) {
        self.push_flag(value);
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

    /// A message that may be missing, which is nil.
    pub(super) fn message(&mut self, name: &CStr, message: Option<&impl Push>) {
        if let Some(message) = message {
            message.push(self);
            self.set(name);
        }
    }

    /// A list of messages.
    pub(super) fn messages(&mut self, name: &CStr, messages: &[impl Push]) {
        self.list(name, messages, |table, message| message.push(table));
    }

    /// A list of so many strings.
    pub(super) fn strings<'a>(&mut self, name: &CStr, count: usize, strings: impl Iterator<Item = &'a [u8]>) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_createtable(self.state, count as c_int, 0) };
        for (i, string) in strings.enumerate() {
            self.push_bytes(string);
            // SAFETY: as `Table` says.
            unsafe { ffi::lua_rawseti(self.state, -2, i as ffi::lua_Integer + 1) };
        }
        self.set(name);
    }

    /// A table of so many strings by their keys.
    pub(super) fn entries<'a>(
        &mut self,
        name: &CStr,
        count: usize,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_createtable(self.state, 0, count as c_int) };
        for (key, value) in entries {
            self.push_bytes(key);
            self.push_bytes(value);
            // SAFETY: as `Table` says.
            unsafe { ffi::lua_rawset(self.state, -3) };
        }
        self.set(name);
    }

    fn list<T>(&mut self, name: &CStr, items: &[T], push: impl Fn(&mut Self, &T)) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_createtable(self.state, items.len() as c_int, 0) };
        for (i, item) in items.iter().enumerate() {
            push(self, item);
            // SAFETY: as `Table` says.
            unsafe { ffi::lua_rawseti(self.state, -2, i as ffi::lua_Integer + 1) };
        }
        self.set(name);
    }

    fn push_table(&mut self, fill: impl FnOnce(&mut Self)) {
        // SAFETY: as `Table` says.
        unsafe {
            ffi::luaL_checkstack(self.state, SLOTS, c"answer nested too deep".as_ptr());
            ffi::lua_createtable(self.state, 0, 6);
        }
        fill(self);
    }

    pub(super) fn push_nil(&mut self) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_pushnil(self.state) };
    }

    pub(super) fn push_flag(&mut self, value: bool) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_pushboolean(self.state, value.into()) };
    }

    pub(super) fn push_bytes(&mut self, value: &[u8]) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_pushlstring(self.state, value.as_ptr().cast(), value.len()) };
    }

    pub(super) fn push_integer(&mut self, value: i64) {
        if integer::NATIVE {
            // SAFETY: as `Table` says.
            unsafe { ffi::lua_pushinteger(self.state, value as ffi::lua_Integer) };
        } else if integer::exact(value as f64) {
            // SAFETY: as `Table` says.
            unsafe { ffi::lua_pushnumber(self.state, value as ffi::lua_Number) };
        } else {
            self.push_decimal(value.into());
        }
    }

    pub(super) fn push_unsigned(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.push_integer(value),
            Err(_) => self.push_id(value.cast_signed(), value.into()),
        }
    }

    /// The name of an enum's value, or its number where this schema has no name for it.
    pub(super) fn push_choice(&mut self, value: i32, names: &[&str]) {
        match usize::try_from(value).ok().and_then(|value| names.get(value)) {
            Some(choice) => self.push_bytes(choice.as_bytes()),
            None => self.push_integer(value.into()),
        }
    }

    /// An id, by its bits and as it is written.
    pub(super) fn push_id(&mut self, bits: i64, value: i128) {
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
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_setfield(self.state, -2, name.as_ptr()) };
    }
}
