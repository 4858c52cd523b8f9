//! How a watch comes about: what is asked for, and which answer belongs to which watch.

use super::*;

#[test]
fn a_watch_is_asked_for_as_the_caller_wants_it() {
    let wanted = WatchCreateRequest {
        key: "a".into(),
        range_end: "b".into(),
        start_revision: 7,
        filters: vec![1],
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    let mut watches = Watches::default();
    watch(&mut watches, wanted.clone());
    let Some(RequestUnion::CreateRequest(create)) = watches.next_request().unwrap().request_union else {
        panic!("not a create");
    };
    assert!(create.watch_id > 0);
    let expected = WatchCreateRequest {
        watch_id: create.watch_id,
        fragment: true,
        progress_notify: true,
        ..wanted
    };
    assert_eq!(create, expected);
}

#[test]
fn w5_answers_are_given_in_the_order_of_the_requests() {
    let mut watches = Watches::default();
    let mut readers = [1, 2, 3].map(|start| watch_from(&mut watches, start));
    assert_eq!(
        sent(&mut watches),
        [Sent::Create(1, 1), Sent::Create(2, 2), Sent::Create(3, 3)]
    );
    for answered in 0..3 {
        watches.receive(created(answered as WireId + 1));
        assert_eq!(readers[answered].confirmed.try_recv().unwrap().ok(), Some(()));
        assert!(readers[answered + 1..].iter_mut().all(Reader::waits));
    }
}

#[test]
fn w5_a_refused_watch_leaves_the_live_one_alone_whatever_its_id() {
    for id in [-1, 0, 1, 2, i64::MAX] {
        let (mut watches, live, wire) = watching();
        let mut other = watch_from(&mut watches, 1);
        sent(&mut watches);
        watches.receive(refused(id));
        assert_eq!(other.refusal().message, "etcdserver: permission denied");
        watches.receive(events(wire, &[10]));
        assert_eq!(live.read(), Some(vec![10]), "refused as {id}");
    }
}

#[test]
fn w5_a_refused_watch_among_others_is_the_oldest_without_an_answer() {
    let mut watches = Watches::default();
    let mut readers = [1, 2, 3].map(|start| watch_from(&mut watches, start));
    sent(&mut watches);
    watches.receive(created(1));
    watches.receive(refused(-1));
    watches.receive(created(3));
    assert!(readers[0].confirmed.try_recv().unwrap().is_ok());
    assert_eq!(readers[1].refusal().code, Code::PermissionDenied);
    assert!(readers[2].confirmed.try_recv().unwrap().is_ok());
}

#[test]
fn w5_the_answer_to_a_cancelled_watch_confirms_no_other() {
    let mut watches = Watches::default();
    let cancelled = watch_from(&mut watches, 1);
    assert_eq!(sent(&mut watches), [Sent::Create(1, 1)]);
    assert!(watches.cancel(cancelled.key));
    let mut other = watch_from(&mut watches, 2);
    assert_eq!(sent(&mut watches), [Sent::Cancel(1), Sent::Create(2, 2)]);
    watches.receive(created(1));
    assert!(other.waits());
    watches.receive(canceled_for(1, ""));
    watches.receive(created(2));
    assert!(other.confirmed.try_recv().unwrap().is_ok());
}

#[test]
fn an_answer_of_the_old_stream_is_not_waited_for_on_the_new_one() {
    let mut watches = Watches::default();
    let mut reader = watch_from(&mut watches, 1);
    let (id, _) = reconnected(&mut watches);
    watches.receive(created(id));
    assert!(reader.confirmed.try_recv().unwrap().is_ok());
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let (mut watches, reader, id) = watching();
    for message in [created(id), created(99), refused(id), refused(-1)] {
        watches.receive(message);
    }
    watches.receive(events(id, &[10]));
    assert_eq!(reader.read(), Some(vec![10]));
}

#[test]
fn an_answer_to_another_watch_is_an_error() {
    let mut watches = Watches::default();
    let mut first = watch_from(&mut watches, 1);
    let mut second = watch_from(&mut watches, 1);
    let id = match sent(&mut watches)[..] {
        [Sent::Create(id, _), Sent::Create(..)] => id,
        ref other => panic!("not two creates: {other:?}"),
    };
    watches.receive(created(id));
    first.confirmed.try_recv().unwrap().unwrap();
    watches.receive(created(id));
    assert_eq!(second.refusal().code, Code::Protocol);
    watches.receive(events(id, &[1]));
    assert_eq!(first.read(), Some(vec![1]));
}

#[test]
fn a_server_may_choose_the_id() {
    let mut watches = Watches::default();
    let mut reader = watch_from(&mut watches, 1);
    sent(&mut watches);
    watches.receive(created(0));
    reader.confirmed.try_recv().unwrap().unwrap();
    watches.receive(events(0, &[1]));
    assert_eq!(reader.read(), Some(vec![1]));
}

#[test]
fn ids_are_never_used_again() {
    let mut watches = Watches::default();
    let mut seen = Vec::new();
    let mut note = |watches: &mut Watches| {
        for request in sent(watches) {
            if let Sent::Create(id, _) = request {
                assert!(id > 0 && !seen.contains(&id), "{id} again");
                seen.push(id);
                watches.receive(created(id));
            }
        }
    };
    for _ in 0..3 {
        let first = watch_from(&mut watches, 1);
        let second = watch_from(&mut watches, 1);
        note(&mut watches);
        watches.cancel(first.key);
        watches.connected();
        note(&mut watches);
        let Phase::Attached(id) = watches.by_key[&second.key].phase else {
            panic!("it is not on the server");
        };
        watches.receive(flood(id, 1));
        watches.resume(second.key);
        note(&mut watches);
    }
    // Three rounds: two watches, then those that are left on a new stream, then the resumed one.
    assert_eq!(seen.len(), 3 * 2 + (1 + 2 + 3) + 3);
}
