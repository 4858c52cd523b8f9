//! Messages by hand and at random: see `fuzz`, which compares the two readings of each.

use prost::encoding::{encode_varint, key_len};

use super::fuzz::drive;
use crate::etcd::pb::DESCRIPTORS;
use crate::etcd::wire::{Descriptor, Kind};

/// A pair with all fields: numbers at both ends, a key with a zero.
const KV: &[u8] = b"\x0a\x03k\0y\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x20\x01\x2a\x05value\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";

/// A field with this tag that holds the bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

#[test]
fn messages_by_hand() {
    let header = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x07\x18\x09\x20\x02";
    let event = |kind: &[u8]| field(0x5a, &[kind, &field(0x12, KV), &field(0x1a, KV)].concat());
    let messages = [
        b"".to_vec(),
        // A get, and the same in a txn in a txn.
        [
            field(0x0a, header),
            field(0x12, KV),
            field(0x12, KV),
            b"\x18\x01\x20\x02".to_vec(),
        ]
        .concat(),
        field(0x1a, &field(0x12, &field(0x12, KV))),
        field(0x1a, &field(0x22, &field(0x1a, &field(0x0a, b"")))),
        // Events, with others between them.
        [
            field(0x0a, header),
            b"\x10\x05".to_vec(),
            event(b""),
            event(b"\x08\x01"),
        ]
        .concat(),
        [
            event(b"\x08\x02"),
            b"\x10\x05".to_vec(),
            event(b"\x08\x7f"),
            b"\x38\x01".to_vec(),
        ]
        .concat(),
        field(0x5a, b"\x08\x01"),
        // Out of order, and the last of several counts.
        [
            b"\x20\x02\x18\x01\x20\x03".to_vec(),
            field(0x12, KV),
            field(0x0a, header),
        ]
        .concat(),
        field(0x12, &[KV, b"\x0a\x01b\x2a\x00\x18\x04"].concat()),
        // Headers and pairs in halves.
        [field(0x0a, b"\x18\x07"), field(0x0a, b"\x20\x08\x08\x01")].concat(),
        field(0x5a, &[field(0x12, b"\x0a\x01a"), field(0x12, b"\x18\x07")].concat()),
        // Two of which only one can be.
        field(0x1a, &[field(0x0a, b""), field(0x12, b"")].concat()),
        // What nobody knows: a number, bytes, fixed numbers, a group.
        b"\xc0\x3e\x01\x20\x07\xc2\x3e\x03abc\xc5\x3e\0\0\0\0\xc1\x3e\0\0\0\0\0\0\0\0".to_vec(),
        b"\x7b\x08\x01\x7c\x20\x07".to_vec(),
        // Other kinds than the schema has: packed, fixed, a number for a message and the other way round.
        field(0x22, b"\x01\x02"),
        b"\x25\0\0\0\0".to_vec(),
        b"\x10\x01".to_vec(),
        b"\x0b\x0c".to_vec(),
        // Texts that are none, numbers that are too long, lengths that are too large.
        field(0x32, b"\xff\xfe"),
        b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01".to_vec(),
        b"\x20\x87\x80\x00".to_vec(),
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"\x00".to_vec(),
        b"\x07\x00".to_vec(),
    ];
    for message in messages {
        for end in 0..=message.len() {
            drive(&message[..end]);
        }
    }
}

#[test]
fn what_is_too_deep_is_too_deep_for_both() {
    let mut message = Vec::new();
    for depth in 0..110 {
        for end in [&b""[..], b"\xc0\x3e\x01", b"\x20\x01"] {
            drive(&[&message[..], end].concat());
        }
        message = field(if depth % 2 == 0 { 0x22 } else { 0x1a }, &message);
    }
}

#[test]
fn messages_at_random() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..20_000 {
        let mut message = any(&mut random, DESCRIPTORS[round % DESCRIPTORS.len()], 4);
        if random.bool() && !message.is_empty() {
            let at = random.usize(..message.len());
            match random.u8(..3) {
                0 => message[at] = random.u8(..),
                1 => message.truncate(at),
                _ => message.insert(at, random.u8(..)),
            }
        }
        drive(&message);
    }
}

/// Some fields of a message, in any order, and again; few of them of another kind, or unknown.
fn any(random: &mut fastrand::Rng, descriptor: &Descriptor, depth: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..random.usize(..8) {
        let Some(field) = random.choice(descriptor.fields) else {
            continue;
        };
        let number = if random.u8(..20) == 0 {
            random.u32(1..5000)
        } else {
            field.number
        };
        assert!(key_len(number) <= 3);
        let kind = match field.kind {
            _ if random.u8(..30) == 0 => random.u8(..6),
            Kind::Bytes | Kind::Text | Kind::Problem | Kind::Message(_) => 2,
            _ => 0,
        };
        encode_varint(u64::from(number) << 3 | u64::from(kind), &mut message);
        match (kind, field.kind) {
            (0, _) => encode_varint(random.u64(..) >> random.u8(..64), &mut message),
            (2, Kind::Message(inner)) if depth > 0 => {
                let inside = any(random, inner, depth - 1);
                encode_varint(inside.len() as u64, &mut message);
                message.extend(inside);
            }
            _ => {
                let length = random.u8(..10);
                message.push(length);
                message.extend(std::iter::repeat_with(|| random.u8(..)).take(length.into()));
            }
        }
    }
    message
}
