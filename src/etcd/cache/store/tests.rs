use super::*;
use crate::etcd::fuzz;

fn range(key: &'static str, end: &'static str) -> KeyRange {
    KeyRange {
        key: key.into(),
        end: end.into(),
    }
}

fn kv(key: &'static str, value: &'static str, revision: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        mod_revision: revision,
        ..KeyValue::default()
    }
}

fn put(key: &'static str, value: &'static str, revision: i64) -> Event {
    Event {
        r#type: EventType::Put.into(),
        kv: Some(kv(key, value, revision)),
        prev_kv: None,
    }
}

fn delete(key: &'static str, revision: i64) -> Event {
    Event {
        r#type: EventType::Delete.into(),
        ..put(key, "", revision)
    }
}

fn store() -> Store {
    let mut store = Store::new(range("k", "l"));
    store.load(10, vec![kv("k1", "one", 5), kv("k2", "two", 7)]);
    store
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn state(store: &Store) -> Vec<(String, String)> {
    let all = store.range().clone();
    store.iter(&all).map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

/// `k1: one -> two`, where nothing is `-`.
fn told(changed: Option<Changed>) -> Vec<String> {
    let shown = |kv: Option<&KeyValue>| kv.map_or_else(|| "-".to_owned(), |kv| text(&kv.value));
    let line = |event: &Event| {
        let is_put = event.r#type() == EventType::Put;
        let now = shown(event.kv.as_ref().filter(|_| is_put));
        let key = event.kv.as_ref().map_or_else(String::new, |kv| text(&kv.key));
        format!("{key}: {} -> {now}", shown(event.prev_kv.as_ref()))
    };
    changed.map_or_else(Vec::new, |changed| changed.events.iter().map(line).collect())
}

#[test]
fn events_change_the_copy_once() {
    let mut store = store();
    for _ in 0..2 {
        store.apply(
            12,
            vec![put("k3", "three", 11), delete("k1", 12), put("other", "x", 12)],
        );
        assert_eq!(
            state(&store),
            [("k2".into(), "two".into()), ("k3".into(), "three".into())]
        );
        assert_eq!((store.revision(), store.len(), store.bytes()), (12, 2, 12));
    }
    store.apply(11, Vec::new());
    assert_eq!(store.revision(), 12);
}

#[test]
fn a_reader_sees_the_newest_of_each_key_and_what_it_saw_last() {
    let mut store = store();
    let all = store.range().clone();
    let reader = store.follow(all.clone(), false);
    let late = store.follow(all.clone(), true);
    assert_eq!(store.changed(reader), None);
    store.apply(11, vec![put("k1", "a", 11)]);
    store.apply(12, vec![put("k1", "b", 12), put("k3", "c", 12), delete("k2", 12)]);
    assert_eq!(
        told(store.changed(reader)),
        ["k1: one -> b", "k2: two -> -", "k3: - -> c"]
    );
    store.apply(13, vec![put("k2", "again", 13), delete("k3", 13)]);
    assert_eq!(told(store.changed(reader)), ["k2: - -> again", "k3: c -> -"]);
    assert_eq!(told(store.changed(late)), ["k1: - -> b", "k2: - -> again"]);
    // What came and went was never there.
    store.apply(15, vec![put("k4", "x", 14), delete("k4", 15)]);
    assert_eq!(store.changed(reader), None);
}

#[test]
fn a_reader_follows_its_range_alone() {
    let mut store = store();
    let reader = store.follow(range("k2", ""), true);
    store.apply(11, vec![put("k1", "a", 11)]);
    assert_eq!(told(store.changed(reader)), ["k2: - -> two"]);
    store.apply(12, vec![put("k1", "b", 12), put("k2", "b", 12)]);
    assert_eq!(told(store.changed(reader)), ["k2: two -> b"]);
    store.leave(reader);
    assert_eq!(store.changed(reader), None);
}

#[test]
fn a_load_shows_as_the_difference() {
    let mut store = store();
    let all = store.range().clone();
    let reader = store.follow(all, false);
    store.load(20, vec![kv("k1", "one", 5), kv("k3", "three", 18)]);
    let changed = store.changed(reader);
    assert!(
        changed
            .as_ref()
            .is_some_and(|changed| changed.reloaded && changed.revision == 20)
    );
    assert_eq!(told(changed), ["k2: two -> -", "k3: - -> three"]);
    assert_eq!(store.loads(), 2);
    // The store has gone back: a lower revision, and events from there on.
    store.load(8, vec![kv("k1", "old", 3)]);
    assert_eq!(store.revision(), 8);
    store.apply(9, vec![put("k1", "new", 9)]);
    assert_eq!(told(store.changed(reader)), ["k1: one -> new", "k3: three -> -"]);
    // Nothing has changed.
    store.load(9, vec![kv("k1", "new", 9)]);
    assert_eq!(store.changed(reader), None);
}

#[test]
fn what_was_not_seen_after_all_comes_again() {
    let mut store = store();
    let all = store.range().clone();
    let reader = store.follow(all, false);
    store.apply(11, vec![put("k1", "a", 11), put("k3", "c", 11)]);
    let Some(changed) = store.changed(reader) else {
        panic!("nothing has changed")
    };
    store.apply(12, vec![put("k1", "b", 12), delete("k3", 12)]);
    store.unread(reader, changed);
    assert_eq!(told(store.changed(reader)), ["k1: one -> b"]);
}

/// However loads, events and looks follow each other.
#[test]
fn the_replica_and_what_its_readers_see_are_the_store() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(600).collect();
        fuzz::cache(&steps);
    }
}
