//! What the clients told of a run: does it tell the story of the cell's faults, and do the records, the numbers and the
//! history say the same?
//!
//! In: what was heard of each client, the cell's row, the record of the run. Out: a violation for each thing that is
//! missing or too much.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use super::Violation;
use crate::cells::Story;
use crate::history::{self, Outcome, WatchEnd};
use crate::story::{CALM_AT, Told};

/// A lease that has so little left is in danger, in seconds: less than a third of the shortest TTL.
const DANGER: f64 = 0.5;

/// Events that begin something, and the one that must come after.
const MENDED: [(&str, &str); 2] = [("down", "up"), ("watches_cut", "watches_resumed")];

/// Events that are counted as well: by which number.
const COUNTED: [(&str, &str, &str); 8] = [
    ("connected", "connections_total", "ok"),
    ("unreachable", "connections_total", "failed"),
    ("failover", "attempts_total", "failover"),
    ("slow", "call_seconds", ""),
    ("lease_lost", "leases_lost_total", ""),
    ("lock_lost", "locks_lost_total", ""),
    ("watch_ended", "watch_ends_total", ""),
    ("registration_lost", "registrations_lost_total", ""),
];

/// All that is wrong with it.
pub fn check(told: &[Told], story: &Story, record: &history::Record) -> Vec<Violation> {
    let mut wrong = expected(told, story);
    for one in told {
        wrong.extend(mended(one));
        wrong.extend(counted(one));
        wrong.extend(connected(one));
        wrong.extend(calm(one));
    }
    wrong.extend(remembered(told, record));
    wrong
}

fn violation(text: String) -> Violation {
    Violation::new("story", text)
}

/// What the cell's row says.
fn expected(told: &[Told], story: &Story) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for events in story.told {
        if !told.iter().any(|one| tells(one, events)) {
            wrong.push(violation(format!("nobody tells of {}", events.join(", then "))));
        }
    }
    for one in told {
        let too_much = one.records.iter().find(|record| story.untold.contains(&record.event));
        wrong.extend(too_much.map(|record| violation(format!("{} tells of {record:?}", one.name))));
    }
    for (name, label) in story.moved {
        if told.iter().all(|one| one.peaks.sum(name, label) == 0.0) {
            wrong.push(violation(format!("{name} {label} is 0 all the time")));
        }
    }
    let margin = told.iter().filter_map(|one| one.margin).fold(f64::INFINITY, f64::min);
    if story.danger && margin > DANGER {
        wrong.push(violation(format!("each lease has {margin:.1} s left at least")));
    }
    wrong
}

/// Does it tell of these, one after the other?
fn tells(one: &Told, events: &[&str]) -> bool {
    let mut records = one.records.iter();
    events.iter().all(|event| records.any(|record| record.event == *event))
}

/// What is told to be broken is told to be well again.
fn mended(one: &Told) -> Vec<Violation> {
    let is_unmended = |broken: &str, mended: &str| {
        let last = one
            .records
            .iter()
            .rev()
            .find(|record| [broken, mended].contains(&record.event));
        last.is_some_and(|last| last.event == broken)
    };
    let unmended = MENDED.iter().filter(|(broken, mended)| is_unmended(broken, mended));
    unmended
        .map(|(broken, mended)| violation(format!("{} tells of {broken}, and of no {mended} after it", one.name)))
        .collect()
}

/// What is told is counted, and the other way round. The last that came again may not be told.
fn counted(one: &Told) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for (event, name, label) in COUNTED {
        let records = one.records.iter().filter(|record| record.event == event);
        let told: u64 = records.map(|record| record.repeated + 1).sum();
        let counted = one.numbers.sum(name, label);
        if told as f64 > counted || told == 0 && counted > 0.0 {
            wrong.push(violation(format!(
                "{} tells {told} times of {event}, and {name} {label} is {counted}",
                one.name
            )));
        }
    }
    wrong
}

/// Each is connected at the end, and the last that it says of a server is how it is. One that was lost need not be found
/// again while another serves: nobody asks it.
fn connected(one: &Told) -> Vec<Violation> {
    let mut last = HashMap::new();
    for record in &one.records {
        if let ("connected" | "disconnected" | "unreachable", Some(endpoint)) = (record.event, &record.endpoint) {
            last.insert(endpoint.as_ref(), record.event);
        }
    }
    last.retain(|endpoint, event| *event != "connected" && one.numbers.sum("connected", endpoint) > 0.0);
    let mut wrong: Vec<_> = last
        .into_iter()
        .map(|(endpoint, event)| violation(format!("{} is connected to {endpoint}, and says {event}", one.name)))
        .collect();
    if one.numbers.sum("connected", "") == 0.0 {
        wrong.push(violation(format!("{} is not connected in the end", one.name)));
    }
    wrong
}

/// Nothing is under way in the end, and nothing held.
fn calm(one: &Told) -> Vec<Violation> {
    let busy = CALM_AT
        .iter()
        .filter(|(name, label)| one.numbers.sum(name, label) > 0.0);
    busy.map(|(name, label)| violation(format!("{}: {name} {label} is not 0 in the end", one.name)))
        .collect()
}

/// The numbers are those of the history: the callers' calls, the holders' leases, the readers' watches.
fn remembered(told: &[Told], record: &history::Record) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let those = |kind: &'static str| told.iter().filter(move |one| one.name.starts_with(kind));
    let mut calls: BTreeMap<_, usize> = BTreeMap::new();
    for ((name, labels), count) in those("caller").flat_map(|one| &one.numbers.0) {
        if let ("calls_total", [_, code], 1..) = (*name, &labels[..], *count as usize) {
            *calls.entry(code.clone()).or_default() += *count as usize;
        }
    }
    let codes = record.calls.iter().map(|call| match &call.outcome {
        Outcome::Ok { .. } => "ok",
        // It stands in front.
        Outcome::Failed(text) | Outcome::Unknown(text) => text.split(':').next().unwrap_or_default(),
    });
    let mut seen = BTreeMap::new();
    // At the end each has read once more.
    for code in codes.chain(those("caller").map(|_| "ok")) {
        *seen.entry(code.to_owned()).or_default() += 1;
    }
    wrong.extend(differ("calls", calls, seen));

    let counted: f64 = those("holder")
        .map(|one| one.numbers.sum("leases_lost_total", ""))
        .sum();
    let kept = record.leases.iter().filter(|lease| lease.id != 0);
    let seen = kept.filter(|lease| lease.lost.is_some()).count();
    wrong.extend(differ("lost leases", counted, seen as f64));

    let ends = record.watches.iter().map(|watch| match &watch.end {
        WatchEnd::Compacted(_) => "compacted",
        WatchEnd::Denied(_) => "permission_denied",
        WatchEnd::Complete | WatchEnd::Closed | WatchEnd::Broken(_) => "",
    });
    for code in ["compacted", "permission_denied"] {
        let counted: f64 = those("reader")
            .map(|one| one.numbers.sum("watch_ends_total", code))
            .sum();
        let seen = ends.clone().filter(|end| *end == code).count();
        // A cache has watches, too.
        if counted < seen as f64 {
            wrong.push(violation(format!(
                "{seen} watches ended as {code}, and {counted} are counted"
            )));
        }
    }
    wrong
}

/// What was counted is what was seen.
fn differ<T: Debug + PartialEq>(what: &str, counted: T, seen: T) -> Option<Violation> {
    (counted != seen).then(|| violation(format!("{what}: {counted:?} are counted, and {seen:?} were seen")))
}

#[cfg(test)]
mod tests {
    use silly_etcd::etcd::{Level, Record};

    use super::*;
    use crate::cells::PLOTLESS;
    use crate::check::doctor::{call, ok, put};
    use crate::history::Action;
    use crate::story::Numbers;

    const MEMBER: &str = "127.0.0.1:2379";

    fn event(event: &'static str) -> Record {
        Record {
            level: Level::Info,
            endpoint: Some(MEMBER.into()),
            ..Record::new(event, "")
        }
    }

    /// A number with its name and labels.
    type Entry = (&'static str, &'static [&'static str], f64);

    fn numbers(numbers: &[Entry]) -> Numbers {
        let each = numbers.iter().map(|(name, labels, number)| {
            let labels = labels.iter().map(ToString::to_string).collect();
            ((*name, labels), *number)
        });
        Numbers(each.collect())
    }

    /// A client that is connected at the end, tells these and counts those.
    fn client(events: &[&'static str], counted: &[Entry]) -> Told {
        let connected: Entry = ("connected", &[MEMBER], 1.0);
        let numbers = numbers(&[&[connected], counted].concat());
        Told {
            name: "holder 0".to_owned(),
            records: events.iter().copied().map(event).collect(),
            peaks: numbers.clone(),
            numbers,
            margin: Some(3.0),
        }
    }

    fn found(told: Told, story: &Story) -> Vec<String> {
        let wrong = check(&[told], story, &history::Record::default());
        wrong.into_iter().map(|violation| violation.text).collect()
    }

    /// What is wrong with a client that should tell nothing in particular.
    fn wrong(events: &[&'static str], counted: &[Entry]) -> Vec<String> {
        found(client(events, counted), &PLOTLESS)
    }

    #[test]
    fn what_is_missing_is_found() {
        let story = Story {
            told: &[&["down", "up"]],
            ..PLOTLESS
        };
        assert_eq!(found(client(&["down", "up"], &[]), &story), [""; 0]);
        assert_eq!(found(client(&["up"], &[]), &story), ["nobody tells of down, then up"]);
        // One before the other is another story.
        let backwards = found(client(&["up", "down"], &[]), &story);
        assert!(
            backwards.contains(&"nobody tells of down, then up".to_owned()),
            "{backwards:?}"
        );
    }

    #[test]
    fn what_is_too_much_is_found() {
        let story = Story {
            untold: &["watch_ended"],
            ..PLOTLESS
        };
        let ended: &[Entry] = &[("watch_ends_total", &["compacted"], 1.0)];
        assert_eq!(found(client(&["up"], &[]), &story), [""; 0]);
        let found = found(client(&["watch_ended"], ended), &story);
        assert!(found[0].starts_with("holder 0 tells of Record"), "{found:?}");
    }

    #[test]
    fn a_number_that_stays_is_found() {
        let story = Story {
            moved: &[("attempts_total", "failover")],
            ..PLOTLESS
        };
        let counted = |entry: Entry| found(client(&[entry.1[1]], &[entry]), &story);
        assert_eq!(counted(("attempts_total", &["get", "failover"], 1.0)), [""; 0]);
        let retried = counted(("attempts_total", &["get", "retry"], 1.0));
        assert_eq!(retried, ["attempts_total failover is 0 all the time"]);
    }

    #[test]
    fn a_lease_that_should_be_in_danger_is_looked_for() {
        let story = Story {
            danger: true,
            ..PLOTLESS
        };
        let left = |margin| Told {
            margin,
            ..client(&[], &[])
        };
        assert_eq!(found(left(Some(0.1)), &story), [""; 0]);
        assert_eq!(found(left(Some(3.0)), &story).len(), 1);
        assert_eq!(found(left(None), &story).len(), 1);
    }

    #[test]
    fn what_is_never_well_again_is_found() {
        assert_eq!(wrong(&["watches_cut", "watches_resumed"], &[]), [""; 0]);
        assert_eq!(wrong(&["watches_cut"], &[]).len(), 1);
        assert_eq!(wrong(&["down", "up", "down"], &[]).len(), 1);
    }

    #[test]
    fn what_is_told_and_not_counted_is_found() {
        let lost: &[Entry] = &[("locks_lost_total", &["lease_expired"], 1.0)];
        assert_eq!(wrong(&["lock_lost"], lost), [""; 0]);
        assert_eq!(wrong(&["lock_lost", "lock_lost"], lost).len(), 1);
        assert_eq!(wrong(&["lock_lost"], &[]).len(), 1);
        assert_eq!(wrong(&[], lost).len(), 1);
    }

    #[test]
    fn a_last_word_that_is_not_true_is_found() {
        let counted: &[Entry] = &[("connections_total", &[MEMBER, "ok"], 2.0)];
        assert_eq!(wrong(&["connected", "disconnected", "connected"], counted), [""; 0]);
        assert_eq!(wrong(&["connected", "connected", "disconnected"], counted).len(), 1);
    }

    #[test]
    fn a_client_that_finds_no_server_again_is_found() {
        let gone = Told {
            numbers: numbers(&[("connected", &[MEMBER], 0.0)]),
            ..client(&[], &[])
        };
        assert_eq!(found(gone, &PLOTLESS).len(), 1);
    }

    #[test]
    fn what_is_left_over_is_found() {
        assert_eq!(wrong(&[], &[("watches", &["ready"], 1.0)]), [""; 0]);
        assert_eq!(wrong(&[], &[("watches", &["stale"], 1.0)]).len(), 1);
        assert_eq!(wrong(&[], &[("calls_inflight", &["put"], 1.0)]).len(), 1);
    }

    #[test]
    fn calls_that_are_counted_otherwise_than_they_were_seen_are_found() {
        let failed = Outcome::Failed("unavailable: connection refused".to_owned());
        let record = history::Record {
            calls: vec![
                call("k/a", put("x"), (1, 2), ok(2, None)),
                call("k/a", Action::Get, (3, 4), failed),
            ],
            ..history::Record::default()
        };
        let violated = |counted: &[Entry]| {
            let caller = Told {
                name: "caller 0".to_owned(),
                ..client(&[], counted)
            };
            check(&[caller], &PLOTLESS, &record).len()
        };
        let put: Entry = ("calls_total", &["put", "ok"], 1.0);
        // The last read of the listener's.
        let get: Entry = ("calls_total", &["get", "ok"], 1.0);
        assert_eq!(violated(&[put, get, ("calls_total", &["get", "unavailable"], 1.0)]), 0);
        assert_eq!(violated(&[put, get]), 1);
        assert_eq!(violated(&[put, get, ("calls_total", &["get", "given_up"], 1.0)]), 1);
    }

    #[test]
    fn losses_that_nobody_counts_are_found() {
        let lease = history::Lease {
            id: 1,
            ttl: 5,
            key: String::new(),
            renewed: Vec::new(),
            lost: Some((1, String::new())),
            used_after: false,
        };
        let record = history::Record {
            leases: vec![lease],
            ..history::Record::default()
        };
        let lost: &[Entry] = &[("leases_lost_total", &["gone"], 1.0)];
        assert_eq!(check(&[client(&["lease_lost"], lost)], &PLOTLESS, &record), []);
        assert_eq!(check(&[client(&[], &[])], &PLOTLESS, &record).len(), 1);
    }
}
