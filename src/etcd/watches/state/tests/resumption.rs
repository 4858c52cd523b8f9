//! Where a watch goes on after its stream broke, and what it drops because it comes again.

use super::*;

/// The revision from which a watch from 10 on goes on after these messages.
fn resumed_after(messages: impl FnOnce(WireId) -> Vec<WatchResponse>) -> i64 {
    let (mut watches, _, id) = watching();
    for message in messages(id) {
        watches.receive(message);
    }
    reconnected(&mut watches).1
}

#[test]
fn w2_a_watch_goes_on_behind_what_it_has_delivered() {
    assert_eq!(resumed_after(|_| vec![]), 10, "the header of `created` does not count");
    assert_eq!(
        resumed_after(|id| vec![events(id, &[12])]),
        13,
        "nor does that of events"
    );
    assert_eq!(resumed_after(|id| vec![events(id, &[10, 11, 11])]), 12);
    assert_eq!(resumed_after(|id| vec![events(id, &[10]), events(id, &[15])]), 16);
    assert_eq!(resumed_after(|id| vec![progress(id, 20)]), 21);
    assert_eq!(resumed_after(|id| vec![progress(id, 20), events(id, &[25])]), 26);
    assert_eq!(resumed_after(|id| vec![fragment(id, &[10])]), 10, "a part is not all");
    assert_eq!(resumed_after(|id| vec![fragment(id, &[10]), events(id, &[11])]), 12);
    assert_eq!(resumed_after(|id| vec![events(id, &[i64::MAX])]), i64::MAX);
}

#[test]
fn w1_it_never_goes_back() {
    assert_eq!(resumed_after(|id| vec![events(id, &[20]), progress(id, 5)]), 21);
    assert_eq!(resumed_after(|id| vec![events(id, &[20]), events(id, &[5])]), 21);
    assert_eq!(resumed_after(|id| vec![progress(id, 0)]), 10);
    assert_eq!(resumed_after(|id| vec![progress(id, i64::MIN)]), 10);
    let headless = |id| WatchResponse {
        header: None,
        ..progress(id, 0)
    };
    assert_eq!(resumed_after(|id| vec![headless(id)]), 10);
}

#[test]
fn w4_progress_of_the_whole_stream_is_not_believed() {
    assert_eq!(resumed_after(|_| vec![progress(-1, 50)]), 10);
}

#[test]
fn w2_resumes_before_the_first_event() {
    let (mut watches, _, _) = watching();
    for _ in 0..3 {
        let (id, revision) = reconnected(&mut watches);
        assert_eq!(revision, 10);
        watches.receive(created(id));
    }
}

#[test]
fn w1_what_comes_again_is_dropped() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[9, 10, 11]));
    watches.receive(events(id, &[10, 11]));
    watches.receive(events(id, &[11, 12, 12]));
    watches.receive(events(id, &[12]));
    assert_eq!(reader.read(), Some(vec![10, 11]));
    assert_eq!(reader.read(), Some(vec![12, 12]));
    assert_eq!(reader.read(), None);
}

#[test]
fn w1_what_comes_again_on_the_next_stream_is_dropped_too() {
    let (mut watches, reader, id) = watching();
    watches.receive(events(id, &[10, 11]));
    let (id, _) = reconnected(&mut watches);
    watches.receive(created(id));
    watches.receive(events(id, &[10, 11, 12]));
    assert_eq!(reader.read(), Some(vec![10, 11]));
    assert_eq!(reader.read(), Some(vec![12]));
}

#[test]
fn w2_what_comes_under_an_old_id_belongs_to_nobody() {
    let (mut watches, reader, old) = watching();
    let (new, _) = reconnected(&mut watches);
    assert_ne!(old, new);
    for message in [
        events(old, &[10]),
        canceled_for(old, ""),
        compacted(old, 50),
        progress(old, 90),
    ] {
        watches.receive(message);
        assert_eq!(reader.read(), None);
    }
    watches.receive(created(new));
    watches.receive(events(new, &[10]));
    assert_eq!(reader.read(), Some(vec![10]));
}

#[test]
fn w2_a_new_stream_carries_all_watches_and_nothing_of_the_old() {
    let mut watches = Watches::default();
    let readers = [1, 2, 3].map(|start| watch_from(&mut watches, start));
    watches.cancel(readers[1].key);
    watches.connected();
    assert_eq!(sent(&mut watches), [Sent::Create(4, 1), Sent::Create(5, 3)]);
}

#[test]
fn a_watch_that_is_confirmed_again_stays_confirmed() {
    let (mut watches, reader, _) = watching();
    let (id, _) = reconnected(&mut watches);
    watches.receive(created(id));
    assert_eq!(reader.read(), None, "the reader does not see it");
}
