//! Writes messages as they lie on the wire: one pass over the bytes, and functions of Lua that make the tables, of exact
//! size and without a look-up for each name.
//!
//! In: the pieces of a message, in which `src/etcd/wire.rs` finds what prost would; and its descriptor. Out: one value
//! on the Lua stack. A message that was decoded is written by what it is on the wire.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;

use mlua::ffi;
use mlua::prelude::*;

use super::table::{Push, SLOTS, Table};
use crate::etcd::pb::{DESCRIPTORS, MOST_FIELDS, Response};
use crate::etcd::wire::{Described, Descriptor, Field, Fields, Kind, Value};
use crate::etcd::{Batch, Received};

/// Its address is where the registry of Lua has the constructors.
static CONSTRUCTORS: u8 = 0;

/// A message that was decoded and is no longer lies on the stack while it is written.
const SMALL: usize = 512;

/// So many tables of a list are made by one call.
const BATCH: usize = 8;

/// Gives the lua_State two functions for each message: one takes its fields and returns its table; the other, of those that
/// stand in lists, does that for so many at once, and puts them into a list behind the first `n`.
pub(super) fn prepare(lua: &Lua) -> LuaResult<()> {
    let mut text = "return {\n".to_owned();
    for Descriptor { place, fields, .. } in DESCRIPTORS {
        let names = |of: usize| (0..fields.len()).map(move |at| format!("a{of}_{at}"));
        let table = |of: usize| {
            let fields = fields.iter().zip(names(of));
            let fields: Vec<_> = fields.map(|(field, name)| format!("{}={name}", field.name)).collect();
            format!("{{{}}}", fields.join(","))
        };
        let one: Vec<_> = names(0).collect();
        let all: Vec<_> = (1..=BATCH).flat_map(names).collect();
        let entries: Vec<_> = (1..=BATCH).map(|of| format!("list[n+{of}]={}", table(of))).collect();
        text += &format!("function({}) return {} end,\n", one.join(","), table(0));
        text += &match is_listed(*place) {
            true => format!("function(list,n,{}) {} end,\n", all.join(","), entries.join(" ")),
            false => "false,\n".to_owned(),
        };
    }
    text += "}";
    let constructors: LuaTable = lua.load(text).set_name("=silly.store.etcd").eval()?;
    // SAFETY: the one value that is there goes into the registry.
    #[allow(unsafe_code)]
    unsafe {
        lua.exec_raw(constructors, |state| {
            ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key());
        })
    }
}

/// Does the message in this place stand in a list of some other?
fn is_listed(place: usize) -> bool {
    let mut fields = DESCRIPTORS.iter().flat_map(|descriptor| descriptor.fields);
    fields.any(|field| match field.kind {
        Kind::Message(inner) => field.many.is_some() && inner.place == place,
        _ => false,
    })
}

fn key() -> *const c_void {
    (&raw const CONSTRUCTORS).cast()
}

/// Pushes the constructors.
///
/// # Safety
///
/// The stack has room for one value more.
#[allow(unsafe_code)]
pub(super) unsafe fn push_constructors(state: *mut ffi::lua_State) {
    // SAFETY: the caller promises it.
    unsafe { ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key()) };
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl<M: Response> Push for Received<M> {
    fn push(&self, table: &mut Table) {
        table.push_wire(&[self.bytes()], M::DESCRIPTOR);
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Push for Batch {
    fn push(&self, table: &mut Table) {
        let (response, events) = self.parts();
        table.push_decoded(response, events);
    }
}

/// The last value of a field, or of one that may stand many times how many there are.
#[derive(Clone, Copy, Default)]
struct Slot<'a> {
    number: u64,
    bytes: Option<&'a [u8]>,
}

#[allow(unsafe_code)]
impl Table {
    /// Pushes the table of a message that was decoded, but for what lies in `rest` as it came.
    pub(super) fn push_decoded<M: prost::Message + Described>(&mut self, message: &M, rest: &[u8]) {
        let length = message.encoded_len();
        if length <= SMALL {
            let mut buffer = [0; SMALL];
            message.encode_raw(&mut &mut buffer[..]);
            return self.push_wire(&[&buffer[..length], rest], M::DESCRIPTOR);
        }
        // SAFETY: Lua owns the buffer, which has these bytes, and it stays on the stack while it is read; all of them are
        // written before.
        let bytes = unsafe {
            ffi::luaL_checkstack(self.state, SLOTS, c"answer nested too deep".as_ptr());
            let buffer = ffi::lua_newuserdata(self.state, length);
            message.encode_raw(&mut slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), length));
            slice::from_raw_parts(buffer.cast::<u8>(), length)
        };
        self.push_wire(&[bytes, rest], M::DESCRIPTOR);
        // SAFETY: the buffer lies below the table.
        unsafe { ffi::lua_remove(self.state, -2) };
    }

    /// Pushes the table of the message that these pieces are one behind the other.
    pub(super) fn push_wire(&mut self, pieces: &[&[u8]], descriptor: &Descriptor) {
        self.push_constructor(2 * descriptor.place + 1, descriptor.fields.len());
        self.push_fields(pieces, descriptor);
        self.call(descriptor.fields.len(), 1);
    }

    /// Pushes the list of all that stand in this field.
    fn push_list(&mut self, pieces: &[&[u8]], field: &Field, count: usize) {
        // SAFETY: as `Table` says.
        unsafe { ffi::lua_createtable(self.state, count as c_int, 0) };
        let all = pieces.iter().flat_map(|piece| Fields::new(piece));
        let mut entries = all.filter_map(|(number, value)| match value {
            Value::Bytes(entry) if number == field.number => Some(entry),
            _ => None,
        });
        let mut made = 0;
        if let Kind::Message(inner) = field.kind {
            while made + BATCH <= count {
                self.push_constructor(2 * inner.place + 2, 2 + BATCH * inner.fields.len());
                // SAFETY: the list lies below the function.
                unsafe { ffi::lua_pushvalue(self.state, -2) };
                self.push_integer(made as i64);
                for entry in entries.by_ref().take(BATCH) {
                    self.push_fields(&[entry], inner);
                }
                self.call(2 + BATCH * inner.fields.len(), 0);
                made += BATCH;
            }
        }
        for entry in entries {
            match field.kind {
                Kind::Message(inner) => self.push_wire(&[entry], inner),
                _ => self.push_bytes(entry),
            }
            made += 1;
            // SAFETY: the entry lies above the list.
            unsafe { ffi::lua_rawseti(self.state, -2, made as ffi::lua_Integer) };
        }
    }

    /// Pushes the function in this place, and makes room for so many arguments.
    fn push_constructor(&mut self, place: usize, arguments: usize) {
        // SAFETY: as `Table` says.
        unsafe {
            ffi::luaL_checkstack(
                self.state,
                arguments as c_int + SLOTS,
                c"answer nested too deep".as_ptr(),
            );
            ffi::lua_rawgeti(self.state, self.constructors, place as ffi::lua_Integer);
        }
    }

    fn call(&mut self, arguments: usize, results: c_int) {
        // SAFETY: the function lies below its arguments.
        unsafe { ffi::lua_call(self.state, arguments as c_int, results) };
    }

    /// Pushes the fields of a message, each of which has its place.
    fn push_fields(&mut self, pieces: &[&[u8]], descriptor: &Descriptor) {
        let mut slots = [Slot::default(); MOST_FIELDS];
        for piece in pieces {
            for (number, value) in Fields::new(piece) {
                let Some(slot) = descriptor.place_of(number).and_then(|place| slots.get_mut(place)) else {
                    continue;
                };
                match value {
                    Value::Number(number) => slot.number = number,
                    Value::Bytes(bytes) => {
                        slot.number += 1;
                        slot.bytes = Some(bytes);
                    }
                    Value::Fixed => {}
                }
            }
        }
        for (field, slot) in descriptor.fields.iter().zip(&slots) {
            match field.many {
                Some(_) => self.push_list(pieces, field, slot.number as usize),
                None => self.push_value(field.kind, *slot),
            }
        }
    }

    fn push_value(&mut self, kind: Kind, Slot { number, bytes }: Slot<'_>) {
        match kind {
            Kind::Bool => self.push_flag(number != 0),
            Kind::Bytes | Kind::Text => self.push_bytes(bytes.unwrap_or_default()),
            Kind::Problem => match bytes {
                Some(text) if !text.is_empty() => self.push_bytes(text),
                _ => self.push_nil(),
            },
            Kind::Integer => self.push_integer(number.cast_signed()),
            Kind::Unsigned32 => self.push_integer((number as u32).into()),
            Kind::Unsigned => self.push_unsigned(number),
            Kind::Id => self.push_id(number.cast_signed(), number.cast_signed().into()),
            Kind::UnsignedId => self.push_id(number.cast_signed(), number.into()),
            Kind::Enum(names) => self.push_choice(number as i32, names),
            Kind::Message(inner) => match bytes {
                Some(message) => self.push_wire(&[message], inner),
                None => self.push_nil(),
            },
        }
    }
}
