//! The replica of a range, and what of it each reader of changes has not seen: no socket, no clock, no task.
//!
//! In: loads of the whole range, and events, each as of a revision. Out: the keys as they are at one revision, and for
//! each reader the difference between what it saw last and that. A reader that is late gets the newest state of each
//! key, so it costs no more than the keys that it has not read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{Event, KeyValue};
use crate::etcd::range::KeyRange;

/// A key as it is, or none.
type Kv = Option<Arc<KeyValue>>;

/// A key, and the number of the change that brought it here: another one even where a store that went back has given a
/// revision a second time.
struct Held {
    kv: Arc<KeyValue>,
    change: u64,
}

/// The replica.
pub(crate) struct Store {
    range: KeyRange,
    /// By name: a tree would have to look at sixty keys to find one of a hundred thousand.
    kvs: HashMap<Bytes, Held>,
    /// The same in their order.
    order: BTreeMap<Bytes, Arc<KeyValue>>,
    /// Of the last change.
    change: u64,
    /// All changes up to it are in.
    revision: i64,
    /// The bytes of all keys and values.
    bytes: usize,
    /// How often the whole range was loaded.
    loads: u64,
    readers: HashMap<u64, Pending>,
    last_reader: u64,
}

/// What a reader has not seen.
struct Pending {
    range: KeyRange,
    /// The keys that have changed since it looked, each as it saw it last.
    keys: BTreeMap<Bytes, Kv>,
    /// Some of that was found by a load.
    reloaded: bool,
}

/// What has changed for a reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The revision of the replica.
    pub revision: i64,
    /// In the order of their keys. `prev_kv` is what this reader saw last.
    pub events: Vec<Event>,
    /// Some of it was found by loading the range anew: what happened in between is not known.
    pub reloaded: bool,
}

impl Store {
    pub(crate) fn new(range: KeyRange) -> Self {
        Self {
            range,
            kvs: HashMap::new(),
            order: BTreeMap::new(),
            change: 0,
            revision: 0,
            bytes: 0,
            loads: 0,
            readers: HashMap::new(),
            last_reader: 0,
        }
    }

    pub(crate) fn range(&self) -> &KeyRange {
        &self.range
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.kvs.len()
    }

    /// The number of the last change.
    pub(crate) fn change(&self) -> u64 {
        self.change
    }

    /// A key, and the number of the change that brought it here.
    pub(crate) fn get(&self, key: &[u8]) -> Option<(&KeyValue, u64)> {
        self.kvs.get(key).map(|held| (&*held.kv, held.change))
    }

    /// The keys of a range, in their order.
    pub(crate) fn iter(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = &Arc<KeyValue>> {
        self.order.range::<[u8], _>(range.bounds()).map(|(_, kv)| kv)
    }

    /// The whole range as it is at a revision, in the order of its keys. The store may have gone back: then that
    /// revision is lower than the one before.
    pub(crate) fn load(&mut self, revision: i64, kvs: Vec<KeyValue>) {
        let mut old = std::mem::take(&mut self.kvs);
        let first = self.loads == 0 && old.is_empty();
        self.order = BTreeMap::new();
        self.kvs.reserve(kvs.len());
        self.bytes = 0;
        for kv in kvs {
            let before = old.remove(&kv.key);
            match before {
                // The same one takes no more memory.
                Some(before) if *before.kv == kv => {
                    self.bytes += size(&kv);
                    self.order.insert(before.kv.key.clone(), before.kv.clone());
                    self.kvs.insert(before.kv.key.clone(), before);
                }
                before => {
                    let key = kv.key.clone();
                    self.hold(kv);
                    self.note(&key, before.map(|held| held.kv), !first);
                }
            }
        }
        self.change += u64::from(!old.is_empty());
        for (key, before) in old {
            self.note(&key, Some(before.kv), !first);
        }
        self.revision = revision;
        self.loads += 1;
    }

    /// The range as it was kept elsewhere: not as the cluster has it now.
    pub(crate) fn restore(&mut self, revision: i64, kvs: Vec<KeyValue>) {
        self.load(revision, kvs);
        self.loads = 0;
    }

    /// Changes up to a revision, in their order. Events that the replica has already, or of keys outside, change nothing.
    pub(crate) fn apply(&mut self, revision: i64, events: Vec<Event>) {
        for event in events {
            let is_put = event.r#type() == EventType::Put;
            let Some(kv) = event.kv else { continue };
            if kv.mod_revision <= self.revision || !self.range.holds(&kv.key) {
                continue;
            }
            let key = kv.key.clone();
            let before = match is_put {
                true => self.hold(kv),
                false => self.drop(&key),
            };
            self.bytes -= before.as_ref().map_or(0, |held| size(&held.kv));
            self.note(&key, before.map(|held| held.kv), false);
        }
        self.revision = self.revision.max(revision);
    }

    /// Takes a key as it is now; returns what was there.
    fn hold(&mut self, kv: KeyValue) -> Option<Held> {
        let kv = compact(kv);
        self.bytes += size(&kv);
        self.change += 1;
        let change = self.change;
        self.order.insert(kv.key.clone(), kv.clone());
        self.kvs.insert(kv.key.clone(), Held { kv, change })
    }

    /// Drops a key; returns what was there.
    fn drop(&mut self, key: &[u8]) -> Option<Held> {
        self.change += 1;
        self.order.remove(key);
        self.kvs.remove(key)
    }

    /// A key was something else before, and is as it is now.
    fn note(&mut self, key: &Bytes, before: Kv, reloaded: bool) {
        let is_here = self.kvs.contains_key(key);
        for reader in self.readers.values_mut().filter(|reader| reader.range.holds(key)) {
            reader.reloaded |= reloaded;
            // What was seen last is older than what was before.
            let seen = reader.keys.entry(key.clone()).or_insert_with(|| before.clone());
            if seen.is_none() && !is_here {
                // It came and went, and left nothing to tell.
                reader.keys.remove(key);
            }
        }
    }

    /// A new reader of changes in `range`, of which it has seen what there is, or with `initial` nothing.
    pub(crate) fn follow(&mut self, range: KeyRange, initial: bool) -> u64 {
        let keys = match initial {
            true => self.iter(&range).map(|kv| (kv.key.clone(), None)).collect(),
            false => BTreeMap::new(),
        };
        self.last_reader += 1;
        let pending = Pending {
            range,
            keys,
            reloaded: false,
        };
        self.readers.insert(self.last_reader, pending);
        self.last_reader
    }

    /// A reader has gone.
    pub(crate) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    /// May something have changed since a reader looked last?
    pub(crate) fn has_changed(&self, reader: u64) -> bool {
        self.readers
            .get(&reader)
            .is_some_and(|pending| !pending.keys.is_empty())
    }

    /// What has changed since a reader looked last, if anything.
    pub(crate) fn changed(&mut self, reader: u64) -> Option<Changed> {
        let pending = self.readers.get_mut(&reader)?;
        let keys = std::mem::take(&mut pending.keys);
        let reloaded = std::mem::take(&mut pending.reloaded);
        let events: Vec<_> = keys
            .into_iter()
            .filter_map(|(key, before)| event(&key, before, self.kvs.get(&key).map(|held| &held.kv), self.revision))
            .collect();
        (!events.is_empty()).then_some(Changed {
            revision: self.revision,
            events,
            reloaded,
        })
    }

    /// What was changed last was not seen after all.
    pub(crate) fn unread(&mut self, reader: u64, changed: Changed) {
        let Some(pending) = self.readers.get_mut(&reader) else {
            return;
        };
        for event in changed.events {
            if let Some(kv) = event.kv {
                // Whatever has come since stands behind this.
                pending.keys.insert(kv.key, event.prev_kv.map(Arc::new));
            }
        }
        pending.reloaded |= changed.reloaded;
    }
}

/// The event that makes the one of the other; none where nothing has changed.
fn event(key: &Bytes, before: Kv, now: Option<&Arc<KeyValue>>, revision: i64) -> Option<Event> {
    let seen = |kv: &Arc<KeyValue>| KeyValue::clone(kv);
    match (before, now) {
        (None, None) => None,
        (Some(before), Some(now)) if before == *now => None,
        (before, Some(now)) => Some(Event {
            r#type: EventType::Put.into(),
            kv: Some(seen(now)),
            prev_kv: before.as_ref().map(seen),
        }),
        (Some(before), None) => Some(Event {
            r#type: EventType::Delete.into(),
            kv: Some(KeyValue {
                key: key.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            }),
            prev_kv: Some(seen(&before)),
        }),
    }
}

/// A key and its value in memory of their own: they came as a slice of something large.
fn compact(kv: KeyValue) -> Arc<KeyValue> {
    let both = Bytes::from([&*kv.key, &*kv.value].concat());
    Arc::new(KeyValue {
        key: both.slice(..kv.key.len()),
        value: both.slice(kv.key.len()..),
        ..kv
    })
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

#[cfg(test)]
mod tests;
