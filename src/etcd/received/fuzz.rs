//! Messages of any bytes, as prost reads them and as they stay: both refuse them, or both find the same.
//!
//! In: the bytes of a message. Out: a panic where the two differ.

use std::fmt::Debug;

use bytes::Bytes;

use super::{Receive, Received};
use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{
    AlarmResponse, HashKvResponse, LeaseTimeToLiveResponse, MemberListResponse, RangeResponse, Response,
    StatusResponse, TxnResponse, WatchResponse,
};
use crate::etcd::watches::Batch;
use crate::etcd::wire::{Descriptor, Fields, Kind, Value};

/// Reads the bytes as one message after another.
pub fn drive(message: &[u8]) {
    let message = Bytes::copy_from_slice(message);
    agree::<RangeResponse>(&message);
    agree::<TxnResponse>(&message);
    agree::<WatchResponse>(&message);
    agree::<AlarmResponse>(&message);
    agree::<HashKvResponse>(&message);
    agree::<LeaseTimeToLiveResponse>(&message);
    agree::<MemberListResponse>(&message);
    agree::<StatusResponse>(&message);
    agree_on_batch(&message);
}

/// The two readings of a message `M`.
fn agree<M: Response + PartialEq + Debug>(message: &Bytes) {
    let decoded = M::decode(message.clone()).ok();
    let received = Received::<M>::receive(message.clone()).ok();
    assert_eq!(received.as_ref().map(Received::decode), decoded, "{message:?}");
    if let (Some(decoded), Some(received)) = (decoded, received) {
        let header = decoded.header().copied().unwrap_or_default();
        assert_eq!(received.head(), header, "{message:?}");
        let expected = found(&decoded.encode_to_vec(), M::DESCRIPTOR);
        assert_eq!(found(received.bytes(), M::DESCRIPTOR), expected, "{message:?}");
    }
}

/// And what is known of the events of one.
fn agree_on_batch(message: &Bytes) {
    let decoded = <WatchResponse as prost::Message>::decode(message.clone()).ok();
    let batch = Batch::receive(message.clone()).ok();
    assert_eq!(batch.as_ref().map(Batch::decode), decoded, "{message:?}");
    let (Some(decoded), Some(batch)) = (decoded, batch) else {
        return;
    };
    let expected = decoded.events.iter().map(|event| {
        let kv = event.kv.as_ref();
        let key = kv.map_or(&b""[..], |kv| &kv.key);
        (key, kv.map(|kv| kv.mod_revision), event.r#type == EventType::Put as i32)
    });
    let events = &batch.events;
    let entries = events.entries().iter();
    let known = entries.map(|entry| (events.key(entry), entry.revision, entry.is_put));
    assert!(known.eq(expected), "{message:?}");
    let one_by_one = events.entries().iter().filter_map(|entry| events.decode(entry));
    assert!(one_by_one.eq(decoded.events.iter().cloned()), "{message:?}");
}

/// What somebody finds who goes through the fields of a message.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Nothing,
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<Found>),
    List(Vec<Found>),
}

fn found(message: &[u8], descriptor: &Descriptor) -> Vec<Found> {
    let absent = descriptor.fields.iter().map(|field| match (field.many, field.kind) {
        (Some(_), _) => Found::List(Vec::new()),
        (None, Kind::Message(_)) => Found::Nothing,
        (None, Kind::Bytes | Kind::Text | Kind::Problem) => Found::Bytes(Vec::new()),
        (None, _) => Found::Number(0),
    });
    let mut all: Vec<_> = absent.collect();
    for (number, value) in Fields::new(message) {
        let Some(place) = descriptor.place_of(number) else {
            continue;
        };
        let one = match (descriptor.fields[place].kind, value) {
            (Kind::Message(inner), Value::Bytes(bytes)) => Found::Message(found(bytes, inner)),
            (_, Value::Bytes(bytes)) => Found::Bytes(bytes.to_vec()),
            (Kind::Bool, Value::Number(number)) => Found::Number(u64::from(number != 0)),
            (Kind::Unsigned32 | Kind::Enum(_), Value::Number(number)) => Found::Number(number & 0xffff_ffff),
            (_, Value::Number(number)) => Found::Number(number),
            (_, Value::Fixed) => panic!("a kind of number that the schema has nowhere"),
        };
        match &mut all[place] {
            Found::List(list) => list.push(one),
            last => *last = one,
        }
    }
    all
}
