//! The lives of a store: it begins a new one when an older backup is restored. What was written after that backup has
//! then never been, and revisions that were given out are given out again for something else.
//!
//! Each life has a history of its own: what the backup kept, and what came after it. A watch belongs to one of them as
//! a whole: what it delivers is never the continuation of another life's events.

use super::{Truth, watch};
use crate::history::{Call, Event, Time, Watch, WatchEnd};

/// A life that is over.
#[derive(Debug)]
pub struct Past {
    /// When no server was running any more.
    pub until: Time,
    /// The revision of the backup with which the next one begins.
    pub kept: i64,
    /// The whole history of the store in it.
    pub events: Vec<Event>,
}

/// One life, with the calls that it knows of.
#[derive(Debug)]
pub struct Life {
    calls: Vec<Call>,
    events: Vec<Event>,
    compacted: i64,
    from: Time,
    until: Time,
}

impl Life {
    /// What is true in it.
    pub fn truth(&self) -> Truth<'_> {
        Truth {
            calls: &self.calls,
            events: &self.events,
            compacted: self.compacted,
        }
    }
}

/// Tells the lives apart, the present one last. No call was under way when one ended.
pub fn tell(past: Vec<Past>, calls: &[Call], events: Vec<Event>, compacted: i64) -> Vec<Life> {
    let mut lives = Vec::new();
    let (mut known, mut from) = (Vec::new(), 0);
    let present = Past {
        until: Time::MAX,
        kept: i64::MAX,
        events,
    };
    for Past { until, kept, events } in past.into_iter().chain([present]) {
        let own = calls.iter().filter(|call| (from..until).contains(&call.called));
        known.extend(own.cloned());
        let next = known
            .iter()
            .filter(|call: &&Call| call.revision().is_none_or(|revision| revision <= kept));
        let next = next.cloned().collect();
        lives.push(Life {
            calls: std::mem::replace(&mut known, next),
            events,
            compacted,
            from,
            until,
        });
        from = until;
    }
    lives
}

/// Judges a watch by the life to which it belongs: one that it has seen, and if it lasts, the present one.
pub fn check(watch: &Watch, lives: &[Life]) -> watch::Report {
    let ended = match watch.end {
        WatchEnd::Complete => Time::MAX - 1,
        WatchEnd::Closed | WatchEnd::Compacted(_) | WatchEnd::Denied(_) | WatchEnd::Broken(_) => watch.ended,
    };
    let began = match watch.end {
        WatchEnd::Complete => ended,
        WatchEnd::Closed | WatchEnd::Compacted(_) | WatchEnd::Denied(_) | WatchEnd::Broken(_) => watch.called,
    };
    let seen = lives.iter().filter(|life| life.from <= ended && life.until > began);
    let restored = lives
        .iter()
        .any(|life| (watch.called..watch.ended).contains(&life.until));
    let reports = seen.map(|life| watch::check(watch, life.truth(), restored));
    reports.min_by_key(|report| report.violations.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::doctor::{call, events, ok, put};
    use super::*;
    use crate::history::{Batch, Wanted};

    const KEY: &str = "k/a";

    /// x is written at 2 and kept, y at 3 and lost; z is at 3 then.
    fn lives() -> Vec<Life> {
        let write = |value, time, revision| call(KEY, put(value), (time, time + 1), ok(revision, None));
        let calls = [write("x", 10, 2), write("y", 20, 3), write("z", 40, 3)];
        let past = Past {
            until: 30,
            kept: 2,
            events: events(KEY, &["x", "y"]),
        };
        tell(vec![past], &calls, events(KEY, &["x", "z"]), 0)
    }

    /// A watch from 2 on that was made in the first life and delivers these.
    fn violated(values: &[&str], end: WatchEnd, ended: Time) -> Vec<&'static str> {
        let watch = Watch {
            name: "test".to_owned(),
            client: 0,
            wanted: Wanted {
                key: KEY.to_owned(),
                start: 2,
                previous: true,
                ..Wanted::default()
            },
            called: 1,
            confirmed: 2,
            batches: vec![Batch {
                arrived: 50,
                revision: 3,
                events: events(KEY, values),
            }],
            ended,
            end,
            slow: false,
        };
        let found = check(&watch, &lives()).violations;
        found.into_iter().map(|violation| violation.property).collect()
    }

    #[test]
    fn each_life_knows_its_own_calls() {
        let lives = lives();
        let values = |life: &Life| {
            life.calls
                .iter()
                .filter_map(|call| call.action.value().map(str::to_owned))
                .collect()
        };
        let values: Vec<Vec<String>> = lives.iter().map(values).collect();
        assert_eq!(values, [["x", "y"], ["x", "z"]]);
    }

    #[test]
    fn a_watch_that_missed_nothing_goes_on() {
        assert_eq!(violated(&["x", "z"], WatchEnd::Complete, 60), [""; 0]);
    }

    #[test]
    fn a_watch_that_has_seen_what_is_lost_ends() {
        assert_eq!(violated(&["x", "y"], WatchEnd::Compacted(4), 60), [""; 0]);
        assert_eq!(violated(&["x", "y"], WatchEnd::Closed, 60), [""; 0]);
        assert!(violated(&["x", "y"], WatchEnd::Complete, 60).contains(&"true"));
    }

    #[test]
    fn a_watch_does_not_end_without_a_reason() {
        assert_eq!(violated(&["x"], WatchEnd::Compacted(4), 25), ["compacted"]);
    }
}
