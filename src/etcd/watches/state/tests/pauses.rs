//! A reader that is slower than the server.

use super::*;

#[test]
fn w6_a_full_inbox_takes_the_watch_off_the_server() {
    let (mut watches, reader, id) = watching();
    watches.receive(flood(id, 10));
    assert_eq!(sent(&mut watches), [Sent::Cancel(id)]);
    assert!(watches.is_idle());
    // What was under way is dropped: it comes again.
    watches.receive(events(id, &[11]));
    watches.receive(canceled_for(id, ""));
    assert_eq!(reader.read(), Some(vec![10]));
    assert_eq!(reader.read(), None);

    assert!(watches.resume(reader.key));
    assert!(!watches.resume(reader.key));
    assert!(!watches.is_idle());
    assert_eq!(sent(&mut watches), [Sent::Create(id + 1, 10)]);
    watches.receive(created(id + 1));
    watches.receive(events(id + 1, &[11]));
    assert_eq!(reader.read(), Some(vec![11]));
}

#[test]
fn w6_a_paused_watch_is_not_created_on_a_new_stream() {
    let (mut watches, reader, id) = watching();
    watches.receive(flood(id, 10));
    watches.connected();
    assert_eq!(sent(&mut watches), []);
    assert!(watches.resume(reader.key));
    assert_eq!(sent(&mut watches), [Sent::Create(id + 1, 10)]);
}

#[test]
fn w6_it_delays_no_other() {
    let (mut watches, _slow, id) = watching();
    let other = watch_from(&mut watches, 1);
    let other_id = created_id(&mut watches);
    watches.receive(created(other_id));
    watches.receive(flood(id, 10));
    assert!(!watches.is_idle());
    watches.receive(events(other_id, &[1]));
    assert_eq!(other.read(), Some(vec![1]));
}

#[test]
fn a_watch_that_runs_is_not_resumed() {
    let (mut watches, reader, _) = watching();
    assert!(!watches.resume(reader.key));
    assert!(!watches.resume(reader.key + 1));
    assert_eq!(sent(&mut watches), []);
}

#[test]
fn a_paused_watch_can_be_cancelled() {
    let (mut watches, reader, id) = watching();
    watches.receive(flood(id, 10));
    sent(&mut watches);
    assert!(watches.cancel(reader.key));
    assert!(!watches.resume(reader.key));
    assert_eq!(sent(&mut watches), [], "the server does not know it any more");
}

#[test]
fn w6_many_small_responses_fill_an_inbox_too() {
    let (mut watches, reader, id) = watching();
    let mut received = 0;
    while !watches.is_idle() {
        watches.receive(events(id, &[10 + received]));
        received += 1;
        assert!(received < 100_000, "it is never full");
    }
    let delivered = std::iter::from_fn(|| reader.read()).count();
    assert_eq!(delivered, usize::try_from(received).unwrap());
    watches.resume(reader.key);
    assert_eq!(
        sent(&mut watches),
        [Sent::Cancel(id), Sent::Create(id + 1, 9 + received)]
    );
}
