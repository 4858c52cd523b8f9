//! Messages of protobuf as they lie on the wire, read by what the schema says of them: what prost does, without making
//! anything.
//!
//! In: the bytes of a message and its [`Descriptor`]. Out: its fields one by one; whether they are all that prost would
//! find, so that they may be read later without a check; and the memory that prost would take for them.

use bytes::Buf;
use prost::Message;

/// What may stand in a message.
pub struct Descriptor {
    /// Its place in [`DESCRIPTORS`](super::pb::DESCRIPTORS).
    pub place: usize,
    /// Is it one of its fields and no more?
    pub is_union: bool,
    /// By their numbers.
    pub fields: &'static [Field],
}

/// A field of a message.
pub struct Field {
    /// Its number on the wire.
    pub number: u32,
    /// What Lua calls it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where it may stand many times: the bytes of memory that each of them takes once prost has read it.
    pub many: Option<usize>,
}

/// What a field holds, as far as responses have it.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A boolean.
    Bool,
    /// A byte string.
    Bytes,
    /// A text.
    Text,
    /// A text that says what is wrong, if anything is.
    Problem,
    /// A signed number of 64 bits.
    Integer,
    /// An unsigned number of 32 bits.
    Unsigned32,
    /// An unsigned number of 64 bits.
    Unsigned,
    /// A signed id.
    Id,
    /// An unsigned id.
    UnsignedId,
    /// One of these names.
    Enum(&'static [&'static str]),
    /// Another message.
    Message(&'static Descriptor),
}

impl Kind {
    /// Is it a number on the wire?
    const fn is_number(self) -> bool {
        !matches!(self, Self::Bytes | Self::Text | Self::Problem | Self::Message(_))
    }
}

/// A message that the schema has.
pub trait Described {
    /// What may stand in it.
    const DESCRIPTOR: &'static Descriptor;
}

impl Descriptor {
    /// The place of the field with this number.
    #[inline]
    pub fn place_of(&self, number: u32) -> Option<usize> {
        // Most messages have the numbers from 1 on, without gaps.
        let likely = (number as usize).wrapping_sub(1);
        match self.fields.get(likely) {
            Some(field) if field.number == number => Some(likely),
            _ => self.fields.iter().position(|field| field.number == number),
        }
    }
}

/// A value as it lies on the wire.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A number, by its bits.
    Number(u64),
    /// What has a length: a string or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes, which this schema has nowhere.
    Fixed,
}

/// The fields of a message, each a number and a value, in the order of the wire. It ends early before what is none,
/// or a group, which this schema has nowhere.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields in these bytes.
    pub fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = u32::try_from(self.varint()?).ok()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (key > 7).then_some((key >> 3, value))
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        let (&byte, rest) = self.0.split_first()?;
        if byte >= 0x80 {
            return self.long_varint();
        }
        self.0 = rest;
        Some(byte.into())
    }

    /// One of several bytes, each with seven bits. The tenth has the last one.
    fn long_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, &byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return (at < 9 || byte < 2).then_some(number);
            }
        }
        None
    }

    #[inline(always)]
    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let before = self.0;
        let field = self.field();
        if field.is_none() {
            self.0 = before;
        }
        field
    }
}

/// What prost makes of bytes that were found to be a message.
pub(crate) fn decode<M: Message + Default>(message: impl Buf) -> M {
    M::decode(message).unwrap_or_default()
}

/// What can be said of a message without keeping anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Is it well-formed, each field of its kind, and none twice whose halves prost would put together?
    pub(crate) is_plain: bool,
    /// The bytes of memory that prost would take for what it may hold many of.
    pub(crate) memory: usize,
}

/// prost reads no message that is nested deeper.
const DEPTH: usize = 100;

/// Looks through a message.
pub(crate) fn survey(message: &[u8], descriptor: &Descriptor) -> Survey {
    let mut memory = 0;
    let is_plain = look(message, descriptor, DEPTH, &mut memory);
    Survey { is_plain, memory }
}

fn look(message: &[u8], descriptor: &Descriptor, depth: usize, memory: &mut usize) -> bool {
    let mut is_plain = true;
    // The messages that stood there, each a bit.
    let mut seen = 0_u64;
    let mut fields = Fields::new(message);
    for (number, value) in &mut fields {
        let Some(place) = descriptor.place_of(number) else {
            // Even what nobody knows may not lie deeper.
            is_plain &= depth > 0;
            continue;
        };
        let Field { kind, many, .. } = &descriptor.fields[place];
        if let Some(size) = many {
            *memory = memory.saturating_add(*size);
        }
        is_plain &= match (kind, value) {
            (Kind::Message(inner), Value::Bytes(inside)) => {
                let bit = if descriptor.is_union { 1 } else { 1 << place };
                let is_first = many.is_some() || seen & bit == 0;
                seen |= bit;
                depth > 0 && look(inside, inner, depth - 1, memory) && is_first
            }
            (Kind::Text | Kind::Problem, Value::Bytes(text)) => str::from_utf8(text).is_ok(),
            (Kind::Bytes, Value::Bytes(_)) => true,
            (kind, Value::Number(_)) => kind.is_number(),
            _ => false,
        };
    }
    is_plain && fields.rest().is_empty()
}
