//! How watches end, and what is said to whom.

use super::*;

#[test]
fn w4_a_compacted_start_is_told_after_the_confirmation() {
    let (mut watches, reader, id) = watching();
    watches.receive(compacted(id, 50));
    for _ in 0..2 {
        let error = reader.end();
        assert_eq!((error.code, error.compact_revision), (Code::Compacted, Some(50)));
        assert_eq!(error.applied, Applied::No);
    }
    assert!(watches.is_idle());
    watches.connected();
    assert_eq!(sent(&mut watches), [], "it is not asked for again");
}

#[test]
fn w4_a_compacted_start_may_be_told_at_once() {
    let mut watches = Watches::default();
    let mut reader = watch_from(&mut watches, 1);
    sent(&mut watches);
    watches.receive(WatchResponse {
        created: true,
        ..compacted(-1, 50)
    });
    assert_eq!(reader.refusal().compact_revision, Some(50));
}

#[test]
fn w4_a_watch_that_lags_behind_a_compaction_ends_after_what_it_has() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[10]));
    watches.receive(compacted(id, 50));
    assert_eq!(reader.read(), Some(vec![10]));
    assert_eq!(reader.end().code, Code::Compacted);
}

#[test]
fn a_watch_that_is_refused_when_it_goes_on_ends() {
    let (mut watches, reader, _) = watching();
    reconnected(&mut watches);
    watches.receive(refused(-1));
    assert_eq!(reader.end().message, "etcdserver: permission denied");
    assert!(watches.is_idle());
}

#[test]
fn the_servers_reason_is_understood() {
    for (reason, code, text) in [
        ("", Code::Cancelled, "cancelled by the server"),
        (
            "etcdserver: watch canceled",
            Code::Cancelled,
            "etcdserver: watch canceled",
        ),
        (
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            Code::PermissionDenied,
            "etcdserver: permission denied",
        ),
        (
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
            Code::Unauthenticated,
            "etcdserver: invalid auth token",
        ),
        (
            "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
            Code::InvalidArgument,
            "etcdserver: user name is empty",
        ),
        (
            "rpc error: code = Unavailable desc = etcdserver: no leader",
            Code::Unavailable,
            "etcdserver: no leader",
        ),
        (
            "rpc error: code = Canceled desc = a desc = b",
            Code::Cancelled,
            "a desc = b",
        ),
        (
            "rpc error: code = DeadlineExceeded desc = a",
            Code::DeadlineExceeded,
            "a",
        ),
        ("rpc error: code = NotFound desc = a", Code::NotFound, "a"),
        (
            "rpc error: code = ResourceExhausted desc = a",
            Code::ResourceExhausted,
            "a",
        ),
        (
            "rpc error: code = FailedPrecondition desc = a",
            Code::FailedPrecondition,
            "a",
        ),
        ("rpc error: code = OutOfRange desc = a", Code::OutOfRange, "a"),
        ("rpc error: code = Internal desc = a", Code::Internal, "a"),
        ("rpc error: code = Unknown desc = a", Code::Unknown, "a"),
        ("rpc error: code = Code(77) desc = a", Code::Unknown, "a"),
        ("rpc error: code = torn", Code::Unknown, "torn"),
        ("two\nlines\0", Code::Cancelled, "two lines "),
    ] {
        let (mut watches, reader, id) = watching();
        watches.receive(canceled_for(id, reason));
        let error = reader.end();
        assert_eq!((error.code, error.message.as_str()), (code, text), "{reason:?}");
        assert_eq!((error.applied, error.compact_revision), (Applied::No, None));
    }
}

#[test]
fn an_event_without_a_key_is_an_error() {
    let (mut watches, reader, id) = watching();
    watches.receive(WatchResponse {
        events: vec![Event::default()],
        ..events(id, &[])
    });
    assert_eq!(reader.end().code, Code::Protocol);
}

#[test]
fn w8_a_watch_is_cancelled_once() {
    let (mut watches, reader, id) = watching();
    assert!(watches.cancel(reader.key));
    assert!(!watches.cancel(reader.key));
    assert_eq!(sent(&mut watches), [Sent::Cancel(id)]);
    assert!(watches.is_idle());
    watches.receive(events(id, &[10]));
    watches.receive(canceled_for(id, ""));
    assert_eq!(reader.read(), None);
}

#[test]
fn a_watch_that_the_server_ended_is_not_cancelled_there() {
    let (mut watches, reader, id) = watching();
    watches.receive(canceled_for(id, ""));
    assert!(!watches.cancel(reader.key));
    assert_eq!(sent(&mut watches), []);
}

#[test]
fn without_a_server_only_new_watches_fail() {
    let (mut watches, old, _) = watching();
    let mut new = watch_from(&mut watches, 1);
    let mut newer = watch_from(&mut watches, 1);
    watches.stranded(&Failure {
        retry: Retry::Later,
        ..Failure::last(Error::new(Code::Unavailable, "connection refused"))
    });
    for reader in [&mut new, &mut newer] {
        let failure = reader.confirmed.try_recv().unwrap().unwrap_err();
        assert_eq!(
            (failure.error.message.as_str(), failure.retry),
            ("connection refused", Retry::Later)
        );
    }
    assert_eq!(reconnected(&mut watches).1, 10);
    assert_eq!(old.read(), None);
}

#[test]
fn the_end_of_the_client_ends_all() {
    let (mut watches, live, id) = watching();
    watches.receive(events(id, &[10]));
    let mut new = watch_from(&mut watches, 1);
    watches.end_all(&Error::closed());
    assert_eq!(live.read(), Some(vec![10]));
    assert_eq!(live.end(), Error::closed());
    assert_eq!(new.refusal().code, Code::Closed);
    assert!(watches.is_idle());
    assert_eq!(sent(&mut watches), []);
}

/// A confirmation by a server of this cluster.
fn created_in(cluster_id: u64, id: WireId) -> WatchResponse {
    let mut message = created(id);
    message.header.as_mut().unwrap().cluster_id = cluster_id;
    message
}

#[test]
fn h4_a_watch_does_not_go_on_in_another_cluster() {
    let (mut watches, reader, _) = watching();
    for cluster_id in [7, 0, 7] {
        let (id, _) = reconnected(&mut watches);
        watches.receive(created_in(cluster_id, id));
        assert_eq!(reader.read(), None);
    }
    let (id, _) = reconnected(&mut watches);
    watches.receive(created_in(8, id));
    assert_eq!(reader.end().code, Code::Protocol);
    assert_eq!(sent(&mut watches), [Sent::Cancel(id)]);
}
