//! A message of the watch stream whose events are still what came: the state machine needs of each its key, its revision
//! and whether it is a PUT, and no more.
//!
//! In: a message. Out: what `state` decides by, and the events, to be decoded or written where they are read.

use bytes::{Buf, Bytes, BytesMut};

use crate::etcd::cause::Cause;
use crate::etcd::namespace::{Leave, Namespace};
use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{Event, ResponseHeader, WatchResponse};
use crate::etcd::received::{Receive, plain};
use crate::etcd::wire::{self, Fields, Value};
use prost::Message;

/// The numbers of the fields that are read here.
const EVENTS: u32 = 11;
const TYPE: u32 = 1;
const KV: u32 = 2;
const KEY: u32 = 1;
const MOD_REVISION: u32 = 3;

/// A message of the watch stream.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// All but the events.
    pub(super) response: WatchResponse,
    pub(crate) events: Events,
}

/// Events as they came: each a field of the message, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    bytes: Bytes,
    entries: Vec<Entry>,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Where its field begins and ends.
    begin: usize,
    end: usize,
    /// Where its key begins and ends.
    key: (usize, usize),
    /// None where it has no key-value pair.
    pub(crate) revision: Option<i64>,
    pub(crate) is_put: bool,
}

impl Batch {
    /// All but the events, and the events, each a field of the message.
    pub fn parts(&self) -> (&WatchResponse, &[u8]) {
        (&self.response, &self.events.bytes)
    }

    /// The whole message, decoded.
    pub fn decode(&self) -> WatchResponse {
        WatchResponse {
            events: wire::decode::<WatchResponse>(self.events.bytes.clone()).events,
            ..self.response.clone()
        }
    }

    /// Reads a message in which `wire` finds what prost would.
    fn read(message: Bytes) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut first, mut last) = (0, 0);
        let mut fields = Fields::new(&message);
        let mut begin = 0;
        while let Some((number, value)) = fields.next() {
            let end = message.len() - fields.rest().len();
            if let (EVENTS, Value::Bytes(event)) = (number, value) {
                if entries.is_empty() {
                    first = begin;
                } else if begin != last {
                    // Something lies between them: prost puts them together.
                    return wire::decode::<WatchResponse>(message).into();
                }
                last = end;
                entries.push(Entry::new(event, begin - first, end - first));
            }
            begin = end;
        }
        Self {
            response: wire::decode((&message[..first]).chain(&message[last..])),
            events: Events {
                bytes: message.slice(first..last),
                entries,
            },
        }
    }
}

impl Receive for Batch {
    type Message = WatchResponse;

    fn receive(message: Bytes) -> Result<Self, Cause> {
        plain::<WatchResponse>(message).map(Self::read)
    }

    fn head(&self) -> ResponseHeader {
        self.response.head()
    }
}

impl From<WatchResponse> for Batch {
    fn from(response: WatchResponse) -> Self {
        Self::read(response.encode_to_vec().into())
    }
}

impl Leave for Batch {
    fn leave(&mut self, namespace: &Namespace) {
        let mut response = self.decode();
        response.leave(namespace);
        *self = response.into();
    }
}

impl Entry {
    /// The event whose field begins and ends there.
    fn new(event: &[u8], begin: usize, end: usize) -> Self {
        let mut entry = Self {
            begin,
            end,
            key: (begin, begin),
            revision: None,
            is_put: true,
        };
        let mut fields = Fields::new(event);
        while let Some((number, value)) = fields.next() {
            match (number, value) {
                (TYPE, Value::Number(of)) => entry.is_put = of as i32 == EventType::Put as i32,
                (KV, Value::Bytes(kv)) => entry.see(kv, end - fields.rest().len()),
                _ => {}
            }
        }
        entry
    }

    /// Notes what stands in the pair, which ends there.
    fn see(&mut self, kv: &[u8], end: usize) {
        let mut revision = 0;
        let mut fields = Fields::new(kv);
        while let Some((number, value)) = fields.next() {
            match (number, value) {
                (KEY, Value::Bytes(key)) => {
                    let end = end - fields.rest().len();
                    self.key = (end - key.len(), end);
                }
                (MOD_REVISION, Value::Number(of)) => revision = of.cast_signed(),
                _ => {}
            }
        }
        self.revision = Some(revision);
    }
}

impl Events {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes that they take on the wire.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn key(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.key.0..entry.key.1]
    }

    /// An event, decoded.
    pub(crate) fn decode(&self, entry: &Entry) -> Option<Event> {
        let field = self.bytes.slice(entry.begin..entry.end);
        wire::decode::<WatchResponse>(field).events.pop()
    }

    /// Drops those before this revision.
    pub(super) fn retain_from(&mut self, revision: i64) {
        let stays = |entry: &Entry| entry.revision >= Some(revision);
        if self.entries.iter().all(stays) {
            return;
        }
        let mut bytes = BytesMut::new();
        let mut entries = Vec::new();
        for entry in self.entries.iter().filter(|entry| stays(entry)) {
            entries.push(entry.moved(entry.begin, bytes.len()));
            bytes.extend_from_slice(&self.bytes[entry.begin..entry.end]);
        }
        *self = Self {
            bytes: bytes.freeze(),
            entries,
        };
    }

    /// Puts others behind these.
    pub(super) fn append(&mut self, others: Self) {
        let size = self.size();
        // Grows in place from the second time on: nobody else has these bytes.
        let mut bytes = BytesMut::from(std::mem::take(&mut self.bytes));
        bytes.extend_from_slice(&others.bytes);
        self.bytes = bytes.freeze();
        self.entries
            .extend(others.entries.iter().map(|entry| entry.moved(0, size)));
    }

    /// Takes the first so many.
    pub(super) fn split_to(&mut self, count: usize) -> Self {
        let rest = self.entries.split_off(count);
        let size = self.entries.last().map_or(0, |entry| entry.end);
        let first = Self {
            bytes: self.bytes.split_to(size),
            entries: std::mem::take(&mut self.entries),
        };
        self.entries = rest.iter().map(|entry| entry.moved(size, 0)).collect();
        first
    }

    /// Gives them a buffer of their own.
    pub(super) fn copy(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }
}

impl Entry {
    /// The same where what lay at `from` lies at `to`.
    fn moved(&self, from: usize, to: usize) -> Self {
        Self {
            begin: self.begin - from + to,
            end: self.end - from + to,
            key: (self.key.0 - from + to, self.key.1 - from + to),
            ..*self
        }
    }
}
