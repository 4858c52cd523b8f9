//! The replica of a cache against a model of it: whatever loads, events and readers do, what it holds is the store at
//! one revision, what a reader has put together from its changes is the same, and what the file holds is read again.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::file;
use super::store::{Changed, Store};
use crate::etcd::fuzz::Input;
use crate::etcd::pb::mvccpb::event::EventType;
use crate::etcd::pb::{Event, KeyValue, RangeResponse, ResponseHeader};
use crate::etcd::range::KeyRange;

/// The first has keys on both sides that are none of the replica's.
const KEYS: [&str; 8] = ["a", "k1", "k2", "k3", "k4", "k5", "k6", "l"];

type Kvs = BTreeMap<Bytes, KeyValue>;

/// A reader of changes, and what it has put together from them.
struct Reader {
    number: u64,
    range: KeyRange,
    seen: Kvs,
}

/// The store in the cluster, as it is and as it was at each revision.
struct Cluster {
    now: Kvs,
    revision: i64,
    past: Vec<(i64, Kvs)>,
    /// What the replica was not told yet.
    events: Vec<Event>,
    /// How often the store has gone back: what is written then differs from what was written before.
    life: u8,
}

/// Runs the steps that `data` stands for.
pub fn drive(data: &[u8]) {
    let mut input = Input(data);
    let whole = range("k", "l");
    let mut store = Store::new(whole.clone());
    let mut cluster = Cluster {
        now: Kvs::new(),
        revision: 1,
        past: Vec::new(),
        events: Vec::new(),
        life: 0,
    };
    store.load(1, Vec::new());
    let mut model = Kvs::new();
    let mut readers: Vec<Reader> = Vec::new();
    while !input.is_over() {
        match input.byte() % 12 {
            0..=3 => cluster.write(&mut input),
            4 | 5 => {
                let events = std::mem::take(&mut cluster.events);
                let again = events.clone();
                store.apply(cluster.revision, events);
                // A stream that begins anew repeats some.
                store.apply(cluster.revision - 1, again);
                model = inside(&cluster.now, &whole);
            }
            6 => {
                if input.below(4) == 0 {
                    cluster.go_back(&mut input);
                }
                cluster.events.clear();
                let kvs = inside(&cluster.now, &whole);
                store.load(cluster.revision, kvs.values().cloned().collect());
                model = kvs;
            }
            7 if readers.len() < 4 => {
                let range =
                    [whole.clone(), range("k2", ""), range("k2", "k5"), range("k3", "\0")][input.below(4)].clone();
                let initial = input.below(2) == 0;
                readers.push(Reader {
                    number: store.follow(range.clone(), initial),
                    seen: if initial { Kvs::new() } else { inside(&model, &range) },
                    range,
                });
            }
            8 if !readers.is_empty() => {
                let reader = readers.swap_remove(input.below(readers.len()));
                store.leave(reader.number);
                assert_eq!(store.changed(reader.number), None);
            }
            9 if !readers.is_empty() => {
                let at = input.below(readers.len());
                if let Some(changed) = store.changed(readers[at].number) {
                    store.unread(readers[at].number, changed);
                }
            }
            7..=10 if !readers.is_empty() => {
                let at = input.below(readers.len());
                readers[at].look(&mut store, &model);
            }
            _ => keep(&mut store, &mut model),
        }
        check(&store, &model);
    }
    for mut reader in readers {
        reader.look(&mut store, &model);
    }
}

fn range(key: &'static str, end: &'static str) -> KeyRange {
    KeyRange {
        key: Bytes::from_static(key.as_bytes()),
        end: Bytes::from_static(end.as_bytes()),
    }
}

fn inside(kvs: &Kvs, range: &KeyRange) -> Kvs {
    let inside = kvs.iter().filter(|(key, _)| range.holds(key));
    inside.map(|(key, kv)| (key.clone(), kv.clone())).collect()
}

impl Cluster {
    /// One revision, of one key or two.
    fn write(&mut self, input: &mut Input<'_>) {
        self.past.push((self.revision, self.now.clone()));
        self.revision += 1;
        let first = input.below(KEYS.len());
        let second = input.below(KEYS.len());
        for key in [first, second].into_iter().take(1 + usize::from(first != second)) {
            let key = Bytes::from_static(KEYS[key].as_bytes());
            let kv = match input.below(3) {
                0 => None,
                length => Some(vec![self.life; length].into()),
            };
            let kv = kv.map(|value| KeyValue {
                key: key.clone(),
                value,
                mod_revision: self.revision,
                ..KeyValue::default()
            });
            let kind = if kv.is_some() {
                EventType::Put
            } else {
                EventType::Delete
            };
            let told = kv.clone().unwrap_or_else(|| KeyValue {
                key: key.clone(),
                mod_revision: self.revision,
                ..KeyValue::default()
            });
            self.events.push(Event {
                r#type: kind.into(),
                kv: Some(told),
                prev_kv: None,
            });
            match kv {
                Some(kv) => self.now.insert(key, kv),
                None => self.now.remove(&key),
            };
        }
    }

    /// A backup is restored.
    fn go_back(&mut self, input: &mut Input<'_>) {
        let kept = input.below(self.past.len() + 1);
        self.past.truncate(kept);
        if let Some((revision, kvs)) = self.past.pop() {
            self.revision = revision;
            self.now = kvs;
            self.life = self.life.wrapping_add(1);
        }
    }
}

impl Reader {
    /// Sees what has changed: then it knows what there is, and what it knew before was `prev_kv`.
    fn look(&mut self, store: &mut Store, model: &Kvs) {
        let has_changed = store.has_changed(self.number);
        let changed = store.changed(self.number);
        assert!(has_changed || changed.is_none());
        assert!(!store.has_changed(self.number));
        let events = changed.map_or_else(Vec::new, |changed| self.events(changed, store));
        for event in events {
            let is_put = event.r#type() == EventType::Put;
            let Some(kv) = event.kv else {
                panic!("an event of no key")
            };
            assert!(is_put || event.prev_kv.is_some());
            assert_ne!(event.prev_kv.as_ref(), Some(&kv));
            let before = match is_put {
                true => self.seen.insert(kv.key.clone(), kv),
                false => self.seen.remove(&kv.key),
            };
            assert_eq!(before, event.prev_kv);
        }
        assert_eq!(self.seen, inside(model, &self.range));
    }

    /// The events, of one revision and in the order of their keys.
    fn events(&self, changed: Changed, store: &Store) -> Vec<Event> {
        assert_eq!(changed.revision, store.revision());
        let keys = changed.events.iter().filter_map(|event| event.kv.as_ref());
        assert!(keys.clone().is_sorted_by(|one, next| one.key < next.key));
        assert!(keys.clone().all(|kv| self.range.holds(&kv.key)));
        changed.events
    }
}

/// What the file would hold is what there is, and a program that starts with it has that.
fn keep(store: &mut Store, model: &mut Kvs) {
    let request = store.range().clone().request();
    let response = RangeResponse {
        header: Some(ResponseHeader {
            revision: store.revision(),
            ..ResponseHeader::default()
        }),
        kvs: store.iter(store.range()).map(|kv| (**kv).clone()).collect(),
        ..RangeResponse::default()
    };
    let written = file::encode(&request, &response);
    let Some((header, read)) = file::decode(&written, &request) else {
        panic!("it cannot be read again")
    };
    assert_eq!(read, response);
    *model = read.kvs.iter().map(|kv| (kv.key.clone(), kv.clone())).collect();
    store.restore(header.revision, read.kvs);
}

/// The replica is the model, whichever way it is looked at.
fn check(store: &Store, model: &Kvs) {
    let whole = store.range().clone();
    assert!(store.iter(&whole).map(|kv| &**kv).eq(model.values()));
    assert!(store.iter(&whole).rev().map(|kv| &**kv).eq(model.values().rev()));
    assert_eq!(store.len(), model.len());
    let bytes: usize = model.values().map(|kv| kv.key.len() + kv.value.len()).sum();
    assert_eq!(store.bytes(), bytes);
    for key in KEYS {
        assert_eq!(store.get(key.as_bytes()).map(|(kv, _)| kv), model.get(key.as_bytes()));
    }
    let part = range("k2", "k5");
    assert!(store.iter(&part).map(|kv| &**kv).eq(inside(model, &part).values()));
}
