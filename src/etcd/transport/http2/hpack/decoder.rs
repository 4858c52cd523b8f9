//! The heads and trailers of responses: of all their fields those few that gRPC reads.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{INDEXED, INSERTED, KNOWN, LENGTH, NEVER, OVERHEAD, PACKED, PLAIN, RESIZED, TABLE, huffman};

/// The bytes that the fields of a head may have together, as HTTP/2 counts them. etcd's are a few hundred.
pub(crate) const LIST: usize = 16 << 10;

/// The peer does not know how heads are compressed, and no later one can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a head or trailers say. Of a field that stands there twice the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) status: Option<Bytes>,
    pub(crate) content_type: Option<Bytes>,
    pub(crate) grpc_encoding: Option<Bytes>,
    pub(crate) grpc_status: Option<Bytes>,
    pub(crate) grpc_message: Option<Bytes>,
    /// The bytes of all fields, as HTTP/2 counts them.
    size: usize,
    is_malformed: bool,
}

impl Fields {
    /// Has it fields that no response may have, or the status at a place that is not the first?
    pub(crate) fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// Is it longer than what is accepted? Then it may lack fields.
    pub(crate) fn is_too_large(&self) -> bool {
        self.size > LIST
    }

    fn add(&mut self, field: &Field) {
        self.is_malformed |= field.name == Name::Wrong || field.name == Name::Status && self.size > 0;
        self.size += field.size;
        let place = match field.name {
            Name::Status => &mut self.status,
            Name::ContentType => &mut self.content_type,
            Name::GrpcEncoding => &mut self.grpc_encoding,
            Name::GrpcStatus => &mut self.grpc_status,
            Name::GrpcMessage => &mut self.grpc_message,
            Name::Other | Name::Wrong => return,
        };
        if place.is_none() && self.size <= LIST {
            *place = Some(field.value.clone());
        }
    }
}

/// The names that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Status,
    ContentType,
    GrpcEncoding,
    GrpcStatus,
    GrpcMessage,
    Other,
    /// Has no place in a response.
    Wrong,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            b":status" => Self::Status,
            b"content-type" => Self::ContentType,
            b"grpc-encoding" => Self::GrpcEncoding,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-message" => Self::GrpcMessage,
            [] | [b':', ..] => Self::Wrong,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => Self::Wrong,
            name if name.iter().any(u8::is_ascii_uppercase) => Self::Wrong,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Clone)]
struct Field {
    name: Name,
    /// The bytes of the name, which may be used again with another value.
    length: usize,
    /// Empty where the name does not matter.
    value: Bytes,
    /// With its overhead.
    size: usize,
}

impl Field {
    fn new(name: Name, length: usize, value: &[u8]) -> Self {
        let kept = if matches!(name, Name::Other | Name::Wrong) {
            &[]
        } else {
            value
        };
        Self {
            name,
            length,
            value: Bytes::copy_from_slice(kept),
            size: length + value.len() + OVERHEAD,
        }
    }

    fn known(number: usize) -> Option<Self> {
        let (name, value) = KNOWN.get(number.checked_sub(1)?)?;
        Some(Self {
            value: Bytes::from_static(value.as_bytes()),
            ..Self::new(Name::of(name.as_bytes()), name.len(), value.as_bytes())
        })
    }
}

/// What the server has said before.
#[derive(Default)]
pub(crate) struct Decoder {
    /// The newest first.
    said: VecDeque<Field>,
    size: usize,
    /// What the server has made of the room that it may use: as much less than that.
    spared: usize,
}

impl Decoder {
    /// Reads a block of fields.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<Fields, Malformed> {
        let mut fields = Fields::default();
        let mut rest = block;
        while let Some(first) = rest.first() {
            if first & INDEXED.0 != 0 {
                let number = integer(&mut rest, INDEXED.1)?;
                match self.said(number) {
                    Some(field) => fields.add(field),
                    None => fields.add(&Field::known(number).ok_or(Malformed)?),
                }
            } else if first & INSERTED.0 != 0 {
                let field = self.literal(&mut rest, INSERTED.1)?;
                fields.add(&field);
                self.insert(field);
            } else if first & RESIZED.0 != 0 {
                // Before the fields, and not among them.
                if fields.size > 0 {
                    return Err(Malformed);
                }
                let limit = integer(&mut rest, RESIZED.1)?;
                self.spared = TABLE.checked_sub(limit).ok_or(Malformed)?;
                self.shrink(limit);
            } else {
                const { assert!(NEVER.1 == PLAIN.1) };
                let field = self.literal(&mut rest, PLAIN.1)?;
                fields.add(&field);
            }
        }
        Ok(fields)
    }

    /// A field that was said before.
    fn said(&self, number: usize) -> Option<&Field> {
        self.said.get(number.checked_sub(KNOWN.len() + 1)?)
    }

    /// A field whose value, and maybe the name, stands there.
    fn literal(&self, rest: &mut &[u8], bits: u32) -> Result<Field, Malformed> {
        let (name, length) = match integer(rest, bits)? {
            0 => string(rest, |name| (Name::of(name), name.len()))?,
            number => match self.said(number) {
                Some(field) => (field.name, field.length),
                None => {
                    let field = Field::known(number).ok_or(Malformed)?;
                    (field.name, field.length)
                }
            },
        };
        string(rest, |value| Field::new(name, length, value))
    }

    fn insert(&mut self, field: Field) {
        let limit = TABLE - self.spared;
        // One that is too large empties the table.
        self.shrink(limit.saturating_sub(field.size));
        if field.size <= limit {
            self.size += field.size;
            self.said.push_front(field);
        }
    }

    /// Is what is kept as large as it is thought to be, and no larger than it may be?
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn is_bounded(&self) -> bool {
        let size: usize = self.said.iter().map(|field| field.size).sum();
        size == self.size && size <= TABLE - self.spared
    }

    fn shrink(&mut self, limit: usize) {
        while self.size > limit {
            let Some(oldest) = self.said.pop_back() else { return };
            self.size -= oldest.size;
        }
    }
}

/// The number in the last bits of the next byte, and in those behind it where it is larger than that.
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    let (first, mut tail) = rest.split_first().ok_or(Malformed)?;
    let most = (1 << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = tail.split_first().ok_or(Malformed)?;
            tail = behind;
            number += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            // No number of any use is as large as that.
            if shift > 21 {
                return Err(Malformed);
            }
        }
    }
    *rest = tail;
    Ok(number)
}

/// Hands the string that stands there to `use_it`.
fn string<T>(rest: &mut &[u8], use_it: impl FnOnce(&[u8]) -> T) -> Result<T, Malformed> {
    let is_packed = rest.first().is_some_and(|first| first & PACKED != 0);
    let length = integer(rest, LENGTH)?;
    let (string, tail) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = tail;
    match is_packed {
        true => huffman::decode(string).as_deref().map(use_it).ok_or(Malformed),
        false => Ok(use_it(string)),
    }
}
