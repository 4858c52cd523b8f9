//! What a store must still hold for watches to go on, and how they end where it does not.

use super::*;
use crate::etcd::pb::mvccpb::event::EventType;

fn deletion(watch_id: WireId, revision: i64) -> WatchResponse {
    let mut message = events(watch_id, &[revision]);
    message.events[0].r#type = EventType::Delete.into();
    message
}

/// What is remembered after these messages.
fn history(messages: impl FnOnce(WireId) -> Vec<WatchResponse>) -> (i64, Option<i64>) {
    let (mut watches, _, id) = watching();
    for mut message in messages(id) {
        if let Some(header) = &mut message.header {
            header.revision -= 999_000;
        }
        watches.receive(message);
    }
    let (history, _) = watches.resumes().unwrap();
    (history.newest, history.witness.map(|witness| witness.revision))
}

#[test]
fn the_last_put_is_the_witness() {
    assert_eq!(history(|_| vec![]).1, None);
    assert_eq!(history(|id| vec![events(id, &[10, 12])]).1, Some(12));
    assert_eq!(history(|id| vec![events(id, &[12]), deletion(id, 13)]).1, Some(12));
    assert_eq!(history(|id| vec![deletion(id, 13)]).1, None);
    // What is dropped was not handed out.
    assert_eq!(history(|id| vec![events(id, &[12]), events(id, &[11])]).1, Some(12));
}

#[test]
fn the_newest_revision_is_that_of_any_header() {
    let (mut watches, _, id) = watching();
    assert_eq!(watches.resumes().unwrap().0.newest, 1_000_000);
    watches.receive(progress(id, 1_000_007));
    watches.receive(progress(id, 5));
    assert_eq!(watches.resumes().unwrap().0.newest, 1_000_007);
}

#[test]
fn a_watch_that_nobody_confirmed_depends_on_nothing() {
    let mut watches = Watches::default();
    watch_from(&mut watches, 10);
    assert!(watches.resumes().is_none());
}

#[test]
fn a_store_that_went_back_ends_what_was_watched() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[10]));
    watches.receive(progress(id, 1_000_046));
    let mut new = watch_from(&mut watches, 50);
    let mut from_now = watch_from(&mut watches, 0);
    watches.connected();
    watches.store_went_back(7);
    assert_eq!(reader.read(), Some(vec![10]));
    let end = reader.end();
    assert_eq!((end.code, end.compact_revision), (Code::Compacted, Some(7)));
    assert_eq!(end.message, "the store went back from revision 1000046 to 7");
    assert!(new.waits() && from_now.waits());

    // Those that were not confirmed begin in the store that there is.
    assert_eq!(sent(&mut watches).len(), 2);
    let newest = watches.last_wire;
    for id in [newest - 1, newest] {
        watches.receive(WatchResponse {
            header: header(7),
            ..created(id)
        });
    }
    new.confirmed.try_recv().unwrap().unwrap();
    from_now.confirmed.try_recv().unwrap().unwrap();
    watches.receive(events(newest, &[8]));
    assert_eq!(from_now.read(), Some(vec![8]));
    assert_eq!(watches.resumes().unwrap().0.witness.unwrap().revision, 8);
}

#[test]
fn one_that_was_written_on_is_told_as_such() {
    let (mut watches, reader, _) = watching();
    watches.store_went_back(1_000_066);
    assert_eq!(
        reader.end().message,
        "the store went back to before revision 1000000 and was written on to 1000066"
    );
}

#[test]
fn a_header_without_a_cluster_is_not_the_stores() {
    let (mut watches, _, id) = watching();
    let before = watches.resumes().unwrap().0.newest;
    let mut message = progress(id, 2_000_000);
    message.header.as_mut().unwrap().cluster_id = 0;
    watches.receive(message);
    assert_eq!(watches.resumes().unwrap().0.newest, before);
}

#[test]
fn a_put_that_its_own_revision_deletes_is_no_witness() {
    assert_eq!(history(|id| vec![events(id, &[11]), both(id, 12)]).1, Some(11));
}

/// A PUT and the deletion of the same key in one revision.
fn both(watch_id: WireId, revision: i64) -> WatchResponse {
    let mut message = events(watch_id, &[revision, revision]);
    message.events[1].r#type = EventType::Delete.into();
    message
}

#[test]
fn what_was_seen_is_forgotten_with_the_last_watch() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[10]));
    watches.cancel(reader.key);
    assert_eq!(sent(&mut watches), [Sent::Cancel(id)]);
    watch_from(&mut watches, 10);
    let other = created_id(&mut watches);
    watches.receive(WatchResponse {
        header: None,
        ..created(other)
    });
    assert_eq!(watches.resumes().unwrap().0, History::default());
}

#[test]
fn a_watch_from_now_on_depends_on_the_revision_that_it_was_given() {
    let mut watches = Watches::default();
    let (confirm, _confirmed) = oneshot::channel();
    watches.create(WatchCreateRequest::default(), 47, Arc::default(), confirm);
    assert!(watches.resumes().is_none(), "it has not been asked for");
    watches.connected();
    watches.broke();
    watches.connected();
    assert_eq!(watches.resumes().unwrap().0.newest, 46);
}
