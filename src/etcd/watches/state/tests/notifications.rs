//! Progress notifications, and the id that a reader sees.

use super::*;

#[test]
fn progress_is_hidden_from_a_reader_that_did_not_ask_for_it() {
    let (mut watches, reader, id) = watching();
    watches.receive(progress(id, 20));
    assert_eq!(reader.read(), None);
}

#[test]
fn progress_is_shown_to_one_that_did() {
    let mut watches = Watches::default();
    let reader = watch(
        &mut watches,
        WatchCreateRequest {
            progress_notify: true,
            ..WatchCreateRequest::default()
        },
    );
    let id = created_id(&mut watches);
    watches.receive(created(id));
    watches.receive(progress(id, 20));
    let response = reader.inbox.pop().unwrap().unwrap().decode();
    assert_eq!(response.header.unwrap().revision, 20);
    assert_eq!(response.watch_id, reader.key.cast_signed());
    assert!(response.events.is_empty());
    assert_eq!(reader.read(), None);
}

#[test]
fn w4_progress_of_the_whole_stream_is_nobodys() {
    let mut watches = Watches::default();
    let reader = watch(
        &mut watches,
        WatchCreateRequest {
            progress_notify: true,
            ..WatchCreateRequest::default()
        },
    );
    watches.receive(progress(-1, 20));
    assert_eq!(reader.read(), None);
}

#[test]
fn a_reader_sees_the_same_id_for_ever() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[10]));
    let (id, _) = reconnected(&mut watches);
    watches.receive(created(id));
    watches.receive(events(id, &[11]));
    // `read` compares the ids.
    assert_eq!(reader.read(), Some(vec![10]));
    assert_eq!(reader.read(), Some(vec![11]));
}
