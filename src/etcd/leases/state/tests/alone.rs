//! Leases that a server refuses to renew, and the others on their stream.

use super::*;

fn refusal() -> Error {
    Error::new(Code::PermissionDenied, "etcdserver: permission denied")
}

/// Three leases on a stream that was refused; one of them is answered.
fn refused() -> (Leases, Moment) {
    let (mut leases, stream, start) = kept(&[1, 2, 3]);
    leases.due(at(start, 3));
    leases.renewed(stream, answer(1, TTL), at(start, 3));
    leases.close(stream, true, at(start, 3));
    leases.open();
    (leases, start)
}

#[test]
fn what_a_refused_stream_left_unanswered_is_asked_for_alone() {
    let (mut leases, start) = refused();
    let due = leases.due(at(start, 3));
    assert_eq!(
        (due.alone.as_slice(), due.shared.as_slice()),
        ([2, 3].as_slice(), [].as_slice())
    );
    // Not again before the attempt has ended.
    assert!(leases.due(at(start, 4)).alone.is_empty());
}

#[test]
fn one_that_was_answered_alone_goes_back_to_the_shared_stream() {
    let (mut leases, start) = refused();
    leases.due(at(start, 3));
    leases.attempt(2, at(start, 3)).unwrap();
    leases.renewed_alone(answer(2, TTL), at(start, 3), at(start, 3));
    let due = leases.due(at(start, 6));
    assert_eq!((due.shared, due.alone), (vec![1, 2], vec![]));
}

#[test]
fn one_that_is_refused_is_asked_for_until_its_end_and_lost_with_the_servers_word() {
    let (mut leases, start) = refused();
    let news = leases.by_id[&2].news.subscribe();
    let (mut asked, mut now) = (0, at(start, 3));
    loop {
        let due = leases.due(now);
        if !leases.keeps(2) {
            break;
        }
        if due.alone.contains(&2) {
            asked += 1;
            leases.attempt(2, now).unwrap();
            leases.refused(2, refusal(), now);
        } else {
            now = due.next.unwrap().max(now);
        }
        for id in due.shared {
            leases.answer(answer(id, TTL), now);
        }
    }
    assert_eq!(now, at(start, 9));
    assert!((3..=6).contains(&asked), "{asked}");
    assert_eq!(lost_with(&news), Some(refusal()));
    let error = leases.check(2, now).unwrap_err();
    assert_eq!(error.code, Code::PermissionDenied);
    assert_eq!(error.message, "lease 2 is lost: etcdserver: permission denied");
}

#[test]
fn a_refusal_that_was_taken_back_is_forgotten() {
    let (mut leases, start) = refused();
    leases.due(at(start, 3));
    leases.attempt(2, at(start, 3)).unwrap();
    leases.refused(2, refusal(), at(start, 3));
    leases.renewed_alone(answer(2, TTL), at(start, 5), at(start, 5));
    let news = leases.by_id[&2].news.subscribe();
    leases.due(at(start, 14));
    assert_eq!(lost_with(&news).unwrap().code, Code::LeaseExpired);
}

#[test]
fn a_lease_that_was_refused_and_is_gone_is_told_to_be_gone() {
    let (mut leases, start) = refused();
    leases.due(at(start, 3));
    leases.refused(2, refusal(), at(start, 3));
    let news = leases.by_id[&2].news.subscribe();
    leases.renewed_alone(answer(2, 0), at(start, 5), at(start, 5));
    assert_eq!(lost_with(&news).unwrap().message, GONE);
}

#[test]
fn each_attempt_has_longer_and_passes_over_one_endpoint_more() {
    let (mut leases, start) = refused();
    leases.due(at(start, 3));
    let (first, until) = leases.attempt(2, at(start, 3)).unwrap();
    leases.failed(2, until);
    assert_eq!(leases.due(until).alone, [2]);
    let (second, later) = leases.attempt(2, until).unwrap();
    assert_eq!((first, second), (1, 2));
    assert!(later.since(until) >= until.since(at(start, 3)));
    assert!(later <= at(start, 9));
}

#[test]
fn a_stream_that_owed_nothing_when_it_was_refused_puts_no_lease_under_suspicion() {
    let (mut leases, stream, start) = kept(&[7]);
    leases.close(stream, true, at(start, 1));
    leases.open();
    let due = leases.due(at(start, 3));
    assert_eq!((due.shared, due.alone), (vec![7], vec![]));
}

#[test]
fn an_earlier_stream_can_be_refused_too() {
    let (mut leases, old, start) = kept(&[7]);
    leases.due(at(start, 3));
    leases.leave(at(start, 5));
    leases.open();
    leases.due(at(start, 5));
    leases.close(old, true, at(start, 6));
    assert_eq!(leases.due(at(start, 6)).alone, [7]);
}
