//! A server that keeps neither ids nor order, as etcd's proxy, and events that are nobody's.

use super::*;
use crate::etcd::watches::state::binding::REFUSALS;

/// A machine that was asked for watches of these keys on one stream.
fn asked(keys: &[&'static str]) -> (Watches, Vec<Reader>) {
    let mut watches = Watches::new(false);
    let readers = keys.iter().map(|key| watch_key(&mut watches, key)).collect();
    (watches, readers)
}

fn watch_key(watches: &mut Watches, key: &'static str) -> Reader {
    let request = WatchCreateRequest {
        key: key.into(),
        start_revision: 10,
        ..WatchCreateRequest::default()
    };
    watch(watches, request)
}

/// The key of each watch that is asked for, and the id under which.
fn creates(watches: &mut Watches) -> Vec<(Bytes, WireId)> {
    let requests = std::iter::from_fn(|| watches.next_request());
    requests
        .filter_map(|request| match request.request_union.unwrap() {
            RequestUnion::CreateRequest(create) => Some((create.key, create.watch_id)),
            _ => None,
        })
        .collect()
}

fn event_of(watch_id: WireId, key: &'static str, mod_revision: i64) -> WatchResponse {
    let mut message = events(watch_id, &[mod_revision]);
    message.events[0].kv.as_mut().unwrap().key = key.into();
    message
}

#[test]
fn an_id_that_nobody_asked_for_confirms_no_watch_among_several() {
    for id in [-1, 0, 1, 2] {
        let (mut watches, mut readers) = asked(&["a", "b", "c"]);
        assert_eq!(creates(&mut watches).len(), 3);
        watches.receive(created(id));
        assert!(readers.iter_mut().all(Reader::waits), "confirmed by {id}");
        assert_eq!(
            watches.fault().unwrap().retry,
            Retry::Reconnect,
            "the next stream will do"
        );
        watches.receive(event_of(id, "a", 10));
        assert!(readers.iter().all(|reader| reader.read().is_none()));
    }
}

#[test]
fn then_one_is_asked_for_at_a_time() {
    let (mut watches, mut readers) = asked(&["a", "b", "c"]);
    creates(&mut watches);
    watches.receive(created(0));
    watches.broke();
    watches.connected();
    assert!(watches.fault().is_none());
    for (id, key) in [(0, "a"), (1, "b"), (2, "c")] {
        let asked = creates(&mut watches);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].0, key);
        watches.receive(created(id));
    }
    for (id, key) in [(2, "c"), (0, "a"), (1, "b")] {
        watches.receive(event_of(id, key, 10));
    }
    for reader in &mut readers {
        reader.confirmed.try_recv().unwrap().unwrap();
        assert_eq!(reader.read(), Some(vec![10]));
    }
}

#[test]
fn a_cancelled_watch_gives_its_place_to_the_next_when_it_is_answered() {
    let (mut watches, mut readers) = asked(&["a"]);
    creates(&mut watches);
    watches.receive(created(0));
    let (gone, mut next) = (watch_key(&mut watches, "gone"), watch_key(&mut watches, "next"));
    assert_eq!(creates(&mut watches).len(), 1, "this server keeps no ids");
    watches.cancel(gone.key);
    assert_eq!(creates(&mut watches), [], "the answer may be to the one that is gone");
    watches.receive(created(1));
    assert!(next.waits());
    let Some(RequestUnion::CancelRequest(cancel)) = watches.next_request().unwrap().request_union else {
        panic!("it is on the server and not cancelled there");
    };
    assert_eq!(cancel.watch_id, 1);
    assert_eq!(creates(&mut watches).len(), 1);
    watches.receive(created(2));
    next.confirmed.try_recv().unwrap().unwrap();
    readers[0].confirmed.try_recv().unwrap().unwrap();
}

#[test]
fn confirmations_out_of_order_are_those_of_their_ids() {
    let (mut watches, mut readers) = asked(&["a", "b", "c"]);
    let ids: Vec<_> = creates(&mut watches).into_iter().map(|(_, id)| id).collect();
    for at in [2, 0, 1] {
        watches.receive(created(ids[at]));
        readers[at].confirmed.try_recv().unwrap().unwrap();
    }
    for (id, key) in ids.iter().zip(["a", "b", "c"]) {
        watches.receive(event_of(*id, key, 10));
    }
    assert!(readers.iter().all(|reader| reader.read() == Some(vec![10])));
}

#[test]
fn a_refusal_that_may_be_anybodys_is_nobodys() {
    let (mut watches, mut readers) = asked(&["a", "b"]);
    creates(&mut watches);
    // Nothing has shown yet that this server answers in order.
    watches.receive(refused(-1));
    assert!(readers.iter_mut().all(Reader::waits));
    assert!(watches.fault().is_some());
}

#[test]
fn events_that_come_before_the_confirmation_are_nobodys() {
    let (mut watches, mut readers) = asked(&["a"]);
    let id = creates(&mut watches)[0].1;
    watches.receive(event_of(id, "a", 10));
    assert!(readers[0].waits());
    assert_eq!(readers[0].read(), None);
}

#[test]
fn an_event_outside_of_the_range_is_never_handed_out() {
    let range = |key: &'static [u8], range_end: &'static [u8]| WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision: 10,
        ..WatchCreateRequest::default()
    };
    for (request, inside, outside) in [
        (range(b"b", b""), vec!["b"], vec!["", "a", "b\0", "ba", "c"]),
        (
            range(b"b", b"d"),
            vec!["b", "b\0", "c", "c\u{7f}"],
            vec!["", "a", "d", "e"],
        ),
        (range(b"b", b"\0"), vec!["b", "c", "\u{ff}"], vec!["", "a"]),
        (range(b"\0", b"\0"), vec!["\0", "a"], vec![]),
        (range(b"", b""), vec!["\0"], vec!["a"]),
    ] {
        for (key, is_inside) in inside
            .iter()
            .map(|key| (key, true))
            .chain(outside.iter().map(|key| (key, false)))
        {
            let mut watches = Watches::new(false);
            let reader = watch(&mut watches, request.clone());
            let id = creates(&mut watches)[0].1;
            watches.receive(created(id));
            watches.receive(event_of(id, key, 10));
            assert_eq!(reader.read().is_some(), is_inside, "{key:?} of {request:?}");
            assert_eq!(watches.fault().is_none(), is_inside, "{key:?} of {request:?}");
            // It goes on where it stood.
            let (_, next) = reconnected(&mut watches);
            assert_eq!(next, if is_inside { 11 } else { 10 });
        }
    }
}

#[test]
fn an_id_that_is_taken_confirms_no_second_watch() {
    let (mut watches, mut readers) = asked(&["a", "b"]);
    let ids: Vec<_> = creates(&mut watches).into_iter().map(|(_, id)| id).collect();
    watches.receive(created(ids[0]));
    watches.receive(created(ids[0]));
    readers[0].confirmed.try_recv().unwrap().unwrap();
    assert!(readers[1].waits());
    assert_eq!(watches.fault().unwrap().error.code, Code::Protocol);
    watches.receive(event_of(ids[0], "a", 10));
    assert_eq!(readers[0].read(), Some(vec![10]));
}

#[test]
fn a_watch_that_resumes_is_not_ended_by_an_id_that_is_taken() {
    let (mut watches, mut readers) = asked(&["a", "b"]);
    for (_, id) in creates(&mut watches) {
        watches.receive(created(id));
    }
    watches.connected();
    let ids: Vec<_> = creates(&mut watches).into_iter().map(|(_, id)| id).collect();
    watches.receive(created(ids[0]));
    watches.receive(created(ids[0]));
    assert_eq!(watches.fault().unwrap().error.code, Code::Protocol);
    watches.connected();
    assert_eq!(creates(&mut watches).len(), 1, "one at a time");
    assert!(readers.iter_mut().all(|reader| reader.read().is_none()));
}

#[test]
fn an_id_of_ours_that_is_not_awaited_confirms_nothing() {
    let (mut watches, mut readers) = asked(&["a"]);
    let id = creates(&mut watches)[0].1;
    watches.receive(created(id + 1));
    assert!(readers[0].waits());
    assert!(watches.fault().is_some());
}

#[test]
fn a_server_that_keeps_ids_after_all_is_asked_for_many_at_a_time() {
    let (mut watches, _readers) = asked(&["a", "b"]);
    creates(&mut watches);
    // Nothing tells whose refusal this is.
    watches.receive(refused(-1));
    watches.connected();
    let first = creates(&mut watches);
    assert_eq!(first.len(), 1);
    watches.receive(created(first[0].1));
    watch_key(&mut watches, "c");
    assert_eq!(creates(&mut watches).len(), 2);
}

#[test]
fn each_confirmation_forgives_the_refusals_before_it() {
    let mut watches = Watches::new(true);
    let mut reader = watch_key(&mut watches, "a");
    for _ in 0..5 {
        for _ in 0..REFUSALS {
            creates(&mut watches);
            let id = watches.unanswered().unwrap();
            watches.receive(WatchResponse {
                watch_id: id,
                ..denied()
            });
            let suspect = watches.suspect().expect("it is not ended yet");
            watches.absolve(&suspect);
        }
        let id = creates(&mut watches)[0].1;
        watches.receive(created(id));
        watches.broke();
        watches.connected();
    }
    reader.confirmed.try_recv().unwrap().unwrap();
    assert_eq!(reader.read(), None);
}

#[test]
fn a_watch_that_is_refused_for_ever_ends() {
    let mut watches = Watches::new(true);
    let mut reader = watch_key(&mut watches, "a");
    for _ in 0..=REFUSALS {
        let id = creates(&mut watches)[0].1;
        watches.receive(WatchResponse {
            watch_id: id,
            ..denied()
        });
        if let Some(suspect) = watches.suspect() {
            watches.absolve(&suspect);
        }
    }
    assert_eq!(reader.refusal().code, Code::PermissionDenied);
}

fn denied() -> WatchResponse {
    WatchResponse {
        created: true,
        ..canceled_for(
            -1,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        )
    }
}
