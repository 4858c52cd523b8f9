//! What a watch delivered against the store's history: the guarantees that etcd gives and its own robustness tests
//! check. Each event that was asked for comes once, in order, whole, and says what the history says.

use std::collections::{HashMap, HashSet};

use super::{Truth, Violation};
use crate::history::{Event, Time, Watch, WatchEnd};

/// What one watch did.
#[derive(Debug, Default)]
pub struct Report {
    pub expected: usize,
    pub lost: usize,
    pub repeated: usize,
    /// The longest time from the answer to a write until its event arrived.
    pub lag: Time,
    pub violations: Vec<Violation>,
}

/// Judges one watch. `restored`: the store went back while it lived, which may end it.
pub fn check(watch: &Watch, truth: Truth<'_>, restored: bool) -> Report {
    let mut report = Report::default();
    let mut fail = |property, text: String| {
        report
            .violations
            .push(Violation::new(property, format!("watch {:?}: {text}", watch.name)));
    };
    let delivered: Vec<_> = watch.batches.iter().flat_map(|batch| &batch.events).collect();
    let wanted: Vec<_> = truth
        .events
        .iter()
        .filter(|event| watch.wanted.matches(event))
        .collect();
    let (first, owed) = start(watch, truth);

    for event in &delivered {
        if !watch.wanted.covers(&event.key) {
            fail("foreign", format!("it did not ask for {event:?}"));
        } else if !watch.wanted.matches(event) || event.revision < first {
            fail("filter", format!("it did not ask for {event:?}"));
        }
    }
    for pair in delivered.windows(2) {
        if pair[1].revision < pair[0].revision {
            fail(
                "ordered",
                format!("revision {} comes after {}", pair[1].revision, pair[0].revision),
            );
        }
    }
    let mut seen = HashSet::new();
    for event in &delivered {
        if !seen.insert((event.revision, event.key.as_str())) {
            report.repeated += 1;
            fail("unique", format!("{} at {} comes twice", event.key, event.revision));
        }
    }
    let with_events: Vec<_> = watch.batches.iter().filter(|batch| !batch.events.is_empty()).collect();
    for pair in with_events.windows(2) {
        let (last, next) = (pair[0].events.last(), pair[1].events.first());
        if let (Some(last), Some(next)) = (last, next)
            && last.revision == next.revision
        {
            fail("atomic", format!("revision {} comes in parts", next.revision));
        }
    }

    let end = match watch.end {
        WatchEnd::Complete => i64::MAX,
        WatchEnd::Closed | WatchEnd::Compacted(_) | WatchEnd::Denied(_) | WatchEnd::Broken(_) => {
            delivered.last().map_or(0, |e| e.revision)
        }
    };
    // A watch from now on begins somewhere between what was there before it was asked for and after it was confirmed.
    let owed = delivered
        .first()
        .map_or(owed, |event| event.revision.clamp(first, owed));
    let missing: Vec<_> = wanted
        .iter()
        .filter(|event| (owed..=end).contains(&event.revision))
        .inspect(|_| report.expected += 1)
        .filter(|event| !seen.contains(&(event.revision, event.key.as_str())))
        .collect();
    report.lost = missing.len();
    let range = delivered
        .first()
        .zip(delivered.last())
        .map(|(first, last)| first.revision..=last.revision);
    for event in missing {
        let inside = range.as_ref().is_some_and(|range| range.contains(&event.revision));
        let property = if inside { "reliable" } else { "resumable" };
        fail(property, format!("{} at {} is missing", event.key, event.revision));
    }

    let mut at = 0;
    for batch in &watch.batches {
        if let Some(event) = batch.events.iter().find(|event| event.revision <= at) {
            fail(
                "bookmarkable",
                format!("{} comes after all up to {at} were promised", event.revision),
            );
        }
        if batch.events.is_empty() {
            at = at.max(batch.revision);
            let promised = wanted.iter().filter(|event| (owed..=at).contains(&event.revision));
            let arrived: HashSet<_> = delivered_until(watch, batch.arrived);
            for event in promised.filter(|event| !arrived.contains(&(event.revision, event.key.as_str()))) {
                fail(
                    "bookmarkable",
                    format!("{} is missing, though all up to {at} is promised", event.revision),
                );
            }
        }
    }

    let by_place: HashMap<_, _> = wanted
        .iter()
        .map(|event| ((event.revision, event.key.as_str()), *event))
        .collect();
    for event in &delivered {
        let Some(truth_event) = by_place.get(&(event.revision, event.key.as_str())) else {
            fail("true", format!("the store knows nothing of {event:?}"));
            continue;
        };
        if event.content != truth_event.content {
            fail("true", format!("{event:?} is not {:?}", truth_event.content));
        }
        if event.previous != previous(watch, truth_event, event, truth.compacted) {
            fail("previous", format!("{event:?} is not {:?}", truth_event.previous));
        }
        if let Some(content) = &event.content {
            let new = content.created == content.modified;
            if new != truth_event.previous.is_none() || new != (content.version == 1) {
                fail("create", format!("{event:?} follows {:?}", truth_event.previous));
            }
        }
    }

    match &watch.end {
        WatchEnd::Broken(reason) => fail("lasting", reason.clone()),
        WatchEnd::Compacted(_) if restored => {}
        WatchEnd::Compacted(revision) => {
            let next = delivered.last().map_or(first, |event| event.revision + 1);
            if *revision <= next || *revision > truth.compacted {
                fail("compacted", format!("{revision} was said to be left, {next} was next"));
            }
        }
        WatchEnd::Complete | WatchEnd::Closed | WatchEnd::Denied(_) => {}
    }
    report.lag = lag(watch, truth);
    report
}

/// The first revision that the watch may deliver, and the first that it must.
fn start(watch: &Watch, truth: Truth<'_>) -> (i64, i64) {
    if watch.wanted.start > 0 {
        return (watch.wanted.start, watch.wanted.start);
    }
    let before = truth
        .calls
        .iter()
        .filter(|call| call.returned < watch.called)
        .filter_map(|call| call.revision())
        .max();
    let after = truth
        .calls
        .iter()
        .filter(|call| call.called > watch.confirmed)
        .filter_map(|call| call.wrote())
        .min();
    (before.unwrap_or(0) + 1, after.unwrap_or(i64::MAX))
}

/// What came before that moment.
fn delivered_until(watch: &Watch, moment: Time) -> HashSet<(i64, &str)> {
    let before = watch.batches.iter().filter(|batch| batch.arrived <= moment);
    before
        .flat_map(|batch| &batch.events)
        .map(|event| (event.revision, event.key.as_str()))
        .collect()
}

/// What the event should say of the key before it. The store may have forgotten it.
fn previous(watch: &Watch, truth: &Event, event: &Event, compacted: i64) -> Option<crate::history::Content> {
    let forgotten = event.previous.is_none() && event.revision <= compacted;
    truth.previous.clone().filter(|_| watch.wanted.previous && !forgotten)
}

fn lag(watch: &Watch, truth: Truth<'_>) -> Time {
    if watch.slow {
        return 0;
    }
    let later = truth.calls.iter().filter(|call| call.called > watch.confirmed);
    let answered: HashMap<_, _> = later.filter_map(|call| Some((call.wrote()?, call.returned))).collect();
    let lags = watch.batches.iter().flat_map(|batch| {
        let answered = &answered;
        let at = batch.events.iter().filter_map(|event| answered.get(&event.revision));
        at.map(|returned| batch.arrived.saturating_sub(*returned))
    });
    lags.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
