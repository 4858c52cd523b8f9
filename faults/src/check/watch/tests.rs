//! Watches with one thing wrong each.

use super::super::doctor::{content, events};
use super::*;
use crate::history::{Batch, Call, Wanted};

const KEY: &str = "k/a";

fn history() -> Vec<Event> {
    events(KEY, &["u", "v", "", "w", "x"])
}

/// A watch from revision 2 on that has delivered everything, and was promised all up to 4 in the middle.
fn sound() -> Watch {
    let events = history();
    let batch = |arrived, events: &[Event]| Batch {
        arrived,
        revision: events.last().map_or(4, |event| event.revision),
        events: events.to_vec(),
    };
    Watch {
        name: "test".to_owned(),
        client: 0,
        wanted: Wanted {
            key: KEY.to_owned(),
            start: 2,
            previous: true,
            progress: true,
            ..Wanted::default()
        },
        called: 0,
        confirmed: 1,
        batches: vec![
            batch(10, &events[..2]),
            batch(20, &events[2..3]),
            batch(30, &[]),
            batch(40, &events[3..]),
        ],
        ended: 50,
        end: WatchEnd::Complete,
        slow: false,
    }
}

fn violated(watch: &Watch) -> Vec<&'static str> {
    let events = history();
    let truth = Truth {
        calls: &[] as &[Call],
        events: &events,
        compacted: 0,
    };
    let mut properties: Vec<_> = check(watch, truth, false)
        .violations
        .into_iter()
        .map(|v| v.property)
        .collect();
    properties.dedup();
    properties
}

#[test]
fn a_sound_watch_passes() {
    assert_eq!(violated(&sound()), [""; 0]);
}

#[test]
fn w1_ordered() {
    let mut watch = sound();
    watch.batches[0].events.swap(0, 1);
    assert_eq!(violated(&watch), ["ordered"]);
}

#[test]
fn w1_unique() {
    let mut watch = sound();
    let again = watch.batches[0].events[0].clone();
    watch.batches[0].events.insert(1, again);
    assert_eq!(violated(&watch), ["unique"]);
}

#[test]
fn w1_reliable() {
    let mut watch = sound();
    watch.batches[0].events.remove(1);
    assert!(violated(&watch).contains(&"reliable"));
}

#[test]
fn w1_atomic() {
    let mut watch = sound();
    let mut part = watch.batches[3].clone();
    part.events = vec![Event {
        key: KEY.to_owned(),
        ..watch.batches[3].events[1].clone()
    }];
    watch.batches.push(part);
    assert!(violated(&watch).contains(&"atomic"));
}

#[test]
fn w1_resumable_at_its_start() {
    let mut watch = sound();
    watch.batches[0].events.remove(0);
    assert!(violated(&watch).contains(&"resumable"));
}

#[test]
fn w1_resumable_to_its_end() {
    let mut watch = sound();
    watch.batches.pop();
    assert_eq!(violated(&watch), ["resumable"]);
}

#[test]
fn w1_bookmarkable_before() {
    let mut watch = sound();
    watch.batches[2].revision = 5;
    assert_eq!(violated(&watch), ["bookmarkable"]);
}

#[test]
fn w1_bookmarkable_after() {
    let mut watch = sound();
    watch.batches.swap(1, 2);
    assert!(violated(&watch).contains(&"bookmarkable"));
}

#[test]
fn w1_filter() {
    let mut watch = sound();
    watch.wanted.no_delete = true;
    assert!(violated(&watch).contains(&"filter"));
}

#[test]
fn an_event_of_another_watch_is_foreign() {
    let mut watch = sound();
    watch.batches[0].events[0].key = "k/b".to_owned();
    assert!(violated(&watch).contains(&"foreign"));
}

#[test]
fn w1_filter_of_old_events() {
    let mut watch = sound();
    watch.wanted.start = 3;
    assert_eq!(violated(&watch), ["filter"]);
}

#[test]
fn w1_previous() {
    let mut watch = sound();
    watch.batches[0].events[1].previous = None;
    assert_eq!(violated(&watch), ["previous"]);
}

#[test]
fn w1_create() {
    let mut watch = sound();
    watch.batches[3].events[0].content = content("w", 2, 5, 3);
    assert!(violated(&watch).contains(&"create"));
}

#[test]
fn w1_true() {
    let mut watch = sound();
    watch.batches[3].events[0].content = content("?", 5, 5, 1);
    assert_eq!(violated(&watch), ["true"]);
}

#[test]
fn w4_a_watch_does_not_end_by_itself() {
    let mut watch = sound();
    watch.end = WatchEnd::Broken("cancelled".to_owned());
    assert_eq!(violated(&watch), ["lasting"]);
}

#[test]
fn w4_a_watch_that_is_ahead_is_not_compacted() {
    let mut watch = sound();
    watch.end = WatchEnd::Compacted(3);
    assert_eq!(violated(&watch), ["compacted"]);
}

#[test]
fn what_is_owed_and_missing_is_counted() {
    let mut watch = sound();
    watch.batches.pop();
    let events = history();
    let report = check(
        &watch,
        Truth {
            calls: &[],
            events: &events,
            compacted: 0,
        },
        false,
    );
    assert_eq!((report.expected, report.lost, report.repeated), (5, 2, 0));
}
