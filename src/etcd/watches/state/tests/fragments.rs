//! Messages in parts.

use super::*;

#[test]
fn w7_a_revision_is_never_split() {
    let (mut watches, reader, id) = watching();
    watches.receive(fragment(id, &[10, 10, 11]));
    assert_eq!(reader.read(), Some(vec![10, 10]));
    watches.receive(fragment(id, &[11]));
    assert_eq!(reader.read(), None);
    watches.receive(events(id, &[11, 12]));
    assert_eq!(reader.read(), Some(vec![11, 11, 11, 12]));
    watches.receive(events(id, &[13]));
    assert_eq!(reader.read(), Some(vec![13]));
    assert_eq!(reader.read(), None);
}

#[test]
fn w7_the_last_may_be_empty() {
    let (mut watches, reader, id) = watching();
    watches.receive(fragment(id, &[10]));
    watches.receive(events(id, &[]));
    assert_eq!(reader.read(), Some(vec![10]));
}

#[test]
fn w7_those_of_two_watches_do_not_mix() {
    let (mut watches, reader, id) = watching();
    let other = watch_from(&mut watches, 1);
    let other_id = created_id(&mut watches);
    watches.receive(created(other_id));
    watches.receive(fragment(id, &[10]));
    watches.receive(fragment(other_id, &[1]));
    watches.receive(events(id, &[11]));
    watches.receive(events(other_id, &[2]));
    assert_eq!(reader.read(), Some(vec![10, 11]));
    assert_eq!(other.read(), Some(vec![1, 2]));
}

#[test]
fn w2_those_of_a_broken_stream_are_forgotten() {
    let (mut watches, reader, id) = watching();
    watches.receive(fragment(id, &[10, 10]));
    let (id, revision) = reconnected(&mut watches);
    assert_eq!(revision, 10);
    watches.receive(created(id));
    watches.receive(fragment(id, &[10]));
    watches.receive(events(id, &[10]));
    assert_eq!(reader.read(), Some(vec![10, 10]));
}

/// A fragment of a MiB.
fn mebibyte(watch_id: WireId, value: &Bytes) -> WatchResponse {
    WatchResponse {
        events: vec![event(10, value.clone())],
        ..fragment(watch_id, &[])
    }
}

#[test]
fn w7_many_may_come() {
    let (mut watches, reader, id) = watching();
    let value = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..128 {
        watches.receive(mebibyte(id, &value));
    }
    watches.receive(events(id, &[10]));
    assert_eq!(reader.read().map(|events| events.len()), Some(129));
}

#[test]
fn w7_a_message_without_an_end_is_an_error() {
    let (mut watches, reader, id) = watching();
    let value = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..257 {
        watches.receive(mebibyte(id, &value));
    }
    assert_eq!(reader.end().code, Code::Protocol);
    assert!(watches.is_idle());
}

#[test]
fn w7_what_a_message_took_does_not_count_for_the_next() {
    let (mut watches, reader, id) = watching();
    let value = Bytes::from(vec![0; 100 << 20]);
    for _ in 0..4 {
        // From before the start, so that nothing waits for the reader.
        for fragment in [true, false] {
            watches.receive(WatchResponse {
                events: vec![event(9, value.clone())],
                fragment,
                ..events(id, &[])
            });
        }
    }
    watches.receive(events(id, &[10]));
    assert_eq!(reader.read(), Some(vec![10]));
}

#[test]
fn w7_a_replay_without_end_is_delivered_as_it_comes() {
    let (mut watches, reader, id) = watching();
    watches.receive(fragment(id, &[10]));
    for revision in 10..1000 {
        watches.receive(fragment(id, &[revision + 1]));
        assert_eq!(reader.read(), Some(vec![revision]));
    }
}
