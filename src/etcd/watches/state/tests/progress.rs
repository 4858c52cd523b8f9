//! The point from which an idle watch resumes is moved on by asking how far the stream is.

use super::*;

/// A machine whose one watch from revision 10 on is confirmed under an id that the server kept.
fn idle() -> (Watches, Reader, WireId) {
    let (mut watches, reader, id) = watching();
    assert!(watches.ask_progress(false));
    assert_eq!(sent(&mut watches), [Sent::Progress]);
    (watches, reader, id)
}

#[test]
fn an_answer_moves_the_watches_of_the_stream() {
    let (mut watches, reader, _) = idle();
    watches.receive(progress(ALL, 50));
    assert_eq!(reader.read(), None, "the reader does not see it");
    assert_eq!(reconnected(&mut watches).1, 51);
}

#[test]
fn it_never_moves_one_back() {
    let (mut watches, _, id) = idle();
    watches.receive(events(id, &[60]));
    watches.receive(progress(ALL, 50));
    assert_eq!(reconnected(&mut watches).1, 61);
}

#[test]
fn it_moves_none_that_was_not_confirmed_when_it_was_asked_for() {
    let (mut watches, _, _) = idle();
    let late = watch_from(&mut watches, 5);
    let id = created_id(&mut watches);
    watches.receive(created(id));
    watches.receive(progress(ALL, 50));
    watches.receive(events(id, &[5]));
    assert_eq!(late.read(), Some(vec![5]));
}

#[test]
fn it_moves_none_in_the_middle_of_a_revision() {
    let (mut watches, reader, id) = idle();
    watches.receive(fragment(id, &[10]));
    watches.receive(progress(ALL, 50));
    watches.receive(events(id, &[10]));
    assert_eq!(reader.read(), Some(vec![10, 10]));
}

#[test]
fn it_moves_none_that_is_paused() {
    let (mut watches, reader, id) = idle();
    watches.receive(flood(id, 10));
    watches.receive(progress(ALL, 50));
    watches.resume(reader.key);
    assert!(matches!(sent(&mut watches)[..], [Sent::Cancel(_), Sent::Create(_, 10)]));
}

#[test]
fn an_answer_that_was_not_asked_for_moves_nothing() {
    let (mut watches, _, _) = idle();
    watches.receive(progress(ALL, 50));
    watches.receive(progress(ALL, 90));
    assert_eq!(reconnected(&mut watches).1, 51);
    watches.receive(progress(ALL, 90));
    assert_eq!(reconnected(&mut watches).1, 51, "it belongs to the old stream");
}

#[test]
fn there_is_one_request_at_a_time() {
    let (mut watches, _, _) = idle();
    assert!(!watches.ask_progress(false));
    assert_eq!(sent(&mut watches), []);
    assert!(watches.ask_progress(true));
    assert_eq!(sent(&mut watches), [Sent::Progress]);
    watches.receive(progress(ALL, 50));
    assert!(watches.ask_progress(false));
}

#[test]
fn a_server_that_keeps_no_ids_is_not_asked() {
    let mut watches = Watches::default();
    watch_from(&mut watches, 10);
    created_id(&mut watches);
    watches.receive(created(0));
    watches.ask_progress(false);
    assert_eq!(sent(&mut watches), []);
}
