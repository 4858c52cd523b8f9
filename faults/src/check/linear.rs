//! The calls against the store's history: is there one order of all calls, true to their times, that explains every
//! answer? And is every write in the store's history that must be, none that must not, and none twice?
//!
//! The order is searched by porcupine, key by key; the state is the key's value, revisions and version. Every value is
//! unique, so that the store's history tells what became of a write whose outcome is unknown: it took effect at some
//! time after its call, however late, or not at all. A serializable read has no place in that order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use super::{Truth, Violation, serializable};
use crate::history::{Action, Call, Content, Event, Outcome};
use crate::traffic;

/// How long the search may take for one key.
const LIMIT: Duration = Duration::from_secs(30);

/// All that is wrong with the calls on keys that begin with `prefix`.
pub fn check(truth: Truth<'_>, prefix: &str) -> Vec<Violation> {
    let events: Vec<_> = truth
        .events
        .iter()
        .filter(|event| event.key.starts_with(prefix))
        .collect();
    let mut found = writes(truth.calls, &events);
    found.extend(deletes(truth.calls, &events));
    found.extend(counters(truth.calls, &events));
    found.extend(revisions(truth.calls));
    found.extend(torn(truth.calls));
    found.extend(serializable::check(truth.calls, &events));
    let mut by_key: BTreeMap<&str, Vec<Operation<Register>>> = BTreeMap::new();
    for (key, operation) in operations(truth.calls, &events) {
        by_key.entry(key).or_default().push(operation);
    }
    for (key, operations) in by_key {
        match check_operations_timeout(&operations, LIMIT) {
            CheckResult::Ok => {}
            CheckResult::Illegal => found.push(Violation::new(
                "linearizable",
                format!("no order explains the calls on {key}"),
            )),
            CheckResult::Unknown => found.push(Violation::new("linearizable", format!("undecided for {key}"))),
        }
    }
    found
}

/// Each write that was answered is there, each that failed is not, each is there once, and no other.
fn writes(calls: &[Call], events: &[&Event]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut by_value: HashMap<(&str, &str), Vec<i64>> = HashMap::new();
    for event in events {
        if let Some(content) = &event.content {
            by_value
                .entry((&event.key, &content.value))
                .or_default()
                .push(event.revision);
        }
    }
    let mut known = HashSet::new();
    for call in calls {
        let Some(value) = call.action.value() else { continue };
        for key in &call.keys {
            known.insert((key.as_str(), value));
            let at = by_value.get(&(key.as_str(), value)).map_or(&[][..], Vec::as_slice);
            if at.len() > 1 {
                found.push(Violation::new("written once", format!("{at:?}: {call}")));
            }
            match (&call.outcome, call.wrote()) {
                (_, Some(revision)) if !at.contains(&revision) => {
                    found.push(Violation::new("not lost", format!("it is at {at:?}: {call}")));
                }
                (Outcome::Ok { .. }, None) | (Outcome::Failed(_), _) if !at.is_empty() => {
                    found.push(Violation::new("failed means no", format!("it is at {at:?}: {call}")));
                }
                _ => {}
            }
        }
    }
    for ((key, value), at) in by_value {
        if !known.contains(&(key, value)) {
            found.push(Violation::new(
                "asked for",
                format!("nobody wrote {value:?} to {key}, at {at:?}"),
            ));
        }
    }
    found
}

/// Each delete that was answered is there, and each other one that is there may be of an unknown outcome.
fn deletes(calls: &[Call], events: &[&Event]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut answered: HashSet<(&str, i64)> = HashSet::new();
    let mut unknown: HashMap<&str, usize> = HashMap::new();
    for call in calls.iter().filter(|call| call.action == Action::Delete) {
        match &call.outcome {
            Outcome::Ok {
                revision,
                found: before,
                ..
            } => {
                let deleted = call.keys.iter().zip(before).filter(|(_, before)| before.is_some());
                answered.extend(deleted.map(|(key, _)| (key.as_str(), *revision)));
            }
            Outcome::Unknown(_) => call.keys.iter().for_each(|key| *unknown.entry(key).or_default() += 1),
            Outcome::Failed(_) => {}
        }
    }
    for event in events.iter().filter(|event| event.content.is_none()) {
        if answered.remove(&(event.key.as_str(), event.revision)) {
            continue;
        }
        match unknown.get_mut(event.key.as_str()) {
            Some(left @ 1..) => *left -= 1,
            _ => found.push(Violation::new(
                "asked for",
                format!("nobody deleted {} at {}", event.key, event.revision),
            )),
        }
    }
    for (key, revision) in answered {
        found.push(Violation::new(
            "not lost",
            format!("{key} was not deleted at {revision}"),
        ));
    }
    found
}

/// A counter never counts more than was tried, nor less than was answered.
fn counters(calls: &[Call], events: &[&Event]) -> Vec<Violation> {
    let mut tried: HashMap<&str, (u64, u64)> = HashMap::new();
    for call in calls {
        if let ([key], Action::Swap { .. }) = (&call.keys[..], &call.action)
            && traffic::is_counter(key)
        {
            let (all, answered) = tried.entry(key).or_default();
            *all += 1;
            *answered += u64::from(call.wrote().is_some());
        }
    }
    let mut found = Vec::new();
    for (key, (all, answered)) in tried {
        let values = events
            .iter()
            .filter(|event| event.key == key)
            .filter_map(|event| event.content.as_ref());
        let count = values.map(|content| traffic::count(&content.value)).max().unwrap_or(0);
        if !(answered..=all).contains(&count) {
            let text = format!("{key} counts {count} after {all} tries, {answered} of them answered");
            found.push(Violation::new("counted", text));
        }
    }
    found
}

/// What begins after an answer is at no earlier revision, and writes at a later one.
fn revisions(calls: &[Call]) -> Vec<Violation> {
    let dated = |call: &&Call| call.revision().is_some() && call.action != Action::SerializableGet;
    let mut answered: Vec<_> = calls.iter().filter(dated).collect();
    let mut by_return = answered.clone();
    answered.sort_by_key(|call| call.called);
    by_return.sort_by_key(|call| call.returned);
    let mut before = by_return.into_iter().peekable();
    let mut newest = 0;
    let mut found = Vec::new();
    for call in answered {
        while let Some(earlier) = before.next_if(|earlier| earlier.returned < call.called) {
            newest = newest.max(earlier.revision().unwrap_or(0));
        }
        let revision = call.revision().unwrap_or(0);
        if revision < newest || (call.wrote().is_some() && revision == newest) {
            found.push(Violation::new(
                "real time",
                format!("revision {newest} was there before: {call}"),
            ));
        }
    }
    found
}

/// Keys that are only written together are read together.
fn torn(calls: &[Call]) -> Vec<Violation> {
    let torn = calls.iter().filter(|call| match (&call.action, &call.outcome) {
        (Action::Get, Outcome::Ok { found, .. }) => {
            let modified = |content: &Option<Content>| content.as_ref().map(|content| content.modified);
            found.windows(2).any(|pair| modified(&pair[0]) != modified(&pair[1]))
        }
        _ => false,
    });
    torn.map(|call| Violation::new("atomic", call.to_string())).collect()
}

/// The calls as porcupine wants them, per key.
fn operations<'a>(calls: &'a [Call], events: &[&'a Event]) -> Vec<(&'a str, Operation<Register>)> {
    let mut unclaimed: HashMap<&str, Vec<i64>> = HashMap::new();
    let answered: HashSet<_> = calls.iter().filter_map(Call::wrote).collect();
    for event in events
        .iter()
        .filter(|event| event.content.is_none() && !answered.contains(&event.revision))
    {
        unclaimed.entry(&event.key).or_default().push(event.revision);
    }
    let mut operations = Vec::new();
    let mut sorted: Vec<_> = calls.iter().collect();
    sorted.sort_by_key(|call| call.called);
    for call in sorted {
        for (i, key) in call.keys.iter().enumerate() {
            let late = matches!(call.outcome, Outcome::Unknown(_));
            let step = match &call.outcome {
                Outcome::Ok {
                    revision,
                    swapped,
                    found,
                } => answered_step(&call.action, *revision, *swapped, found.get(i)),
                Outcome::Failed(_) => None,
                Outcome::Unknown(_) => match call.action.value() {
                    Some(value) => late_put(key, value, &call.action, events),
                    // Which of several took effect when cannot be told; the earliest may have been the first.
                    None => unclaimed
                        .get_mut(key.as_str())
                        .filter(|left| !left.is_empty())
                        .map(|left| Step::Delete {
                            revision: left.remove(0),
                            found: None,
                        }),
                },
            };
            let Some(op) = step else { continue };
            operations.push((
                key.as_str(),
                Operation {
                    client_id: u32::try_from(call.client).ok(),
                    call_time: call.called.cast_signed(),
                    return_time: if late { i64::MAX } else { call.returned.cast_signed() },
                    op,
                    metadata: None,
                },
            ));
        }
    }
    operations
}

fn answered_step(action: &Action, revision: i64, swapped: bool, found: Option<&Option<Content>>) -> Option<Step> {
    let found = found.cloned();
    Some(match action {
        Action::Get => Step::Read(found?),
        Action::SerializableGet => return None,
        Action::Put(value) => Step::Put {
            value: value.clone(),
            revision,
            found,
            expected: None,
            version: None,
        },
        Action::Delete => match found? {
            None => Step::Read(None),
            before => Step::Delete {
                revision,
                found: Some(before),
            },
        },
        Action::Swap { expected, value } if swapped => Step::Put {
            value: value.clone(),
            revision,
            found: None,
            expected: Some(*expected),
            version: None,
        },
        Action::Swap { expected, .. } => Step::Refused {
            expected: *expected,
            found: found?,
        },
    })
}

/// A put of unknown outcome, if it took effect.
fn late_put(key: &str, value: &str, action: &Action, events: &[&Event]) -> Option<Step> {
    let content = events
        .iter()
        .filter(|event| event.key == key)
        .filter_map(|event| event.content.as_ref())
        .find(|content| content.value == value)?;
    Some(Step::Put {
        value: value.to_owned(),
        revision: content.modified,
        found: None,
        expected: match action {
            Action::Swap { expected, .. } => Some(*expected),
            Action::Get | Action::SerializableGet | Action::Put(_) | Action::Delete => None,
        },
        version: Some(content.version),
    })
}

/// One key of the store.
#[derive(Debug, Clone)]
struct Register;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    content: Option<Content>,
    /// When it was put or deleted.
    revision: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Read(Option<Content>),
    Put {
        value: String,
        revision: i64,
        /// What was there before, where that was told.
        found: Option<Option<Content>>,
        /// Of a swap.
        expected: Option<i64>,
        /// What the store's history says of it.
        version: Option<i64>,
    },
    Delete {
        revision: i64,
        found: Option<Option<Content>>,
    },
    /// A swap that did not write.
    Refused {
        expected: i64,
        found: Option<Content>,
    },
}

impl Model for Register {
    type State = State;
    type Op = Step;
    type Metadata = ();

    fn init() -> State {
        State::default()
    }

    fn step(state: &State, step: &Step) -> (bool, State) {
        let content = &state.content;
        let modified = content.as_ref().map_or(0, |content| content.modified);
        let told = |found: &Option<Option<Content>>| found.as_ref().is_none_or(|found| found == content);
        match step {
            Step::Read(found) => (found == content, state.clone()),
            Step::Refused { expected, found } => (found == content && modified != *expected, state.clone()),
            Step::Put {
                value,
                revision,
                found,
                expected,
                version,
            } => {
                let next = Content {
                    value: value.clone(),
                    created: content.as_ref().map_or(*revision, |content| content.created),
                    modified: *revision,
                    version: content.as_ref().map_or(0, |content| content.version) + 1,
                };
                let accepted = *revision > state.revision
                    && told(found)
                    && expected.is_none_or(|expected| expected == modified)
                    && version.is_none_or(|version| version == next.version);
                (
                    accepted,
                    State {
                        content: Some(next),
                        revision: *revision,
                    },
                )
            }
            Step::Delete { revision, found } => {
                let accepted = *revision > state.revision && content.is_some() && told(found);
                (
                    accepted,
                    State {
                        content: None,
                        revision: *revision,
                    },
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
