//! The checks: each takes what was recorded and the store's own history, and finds what must not be.

pub mod cached;
pub mod lease;
pub mod linear;
pub mod lives;
pub mod locked;
pub mod serializable;
pub mod story;
pub mod watch;

use std::fmt;

use crate::history::{Action, Call, Event, Time};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: &'static str,
    /// How.
    pub text: String,
}

impl Violation {
    pub fn new(property: &'static str, text: impl Into<String>) -> Self {
        Self {
            property,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.text)
    }
}

/// The store's history as the store told it afterwards.
#[derive(Debug, Clone, Copy, Default)]
pub struct Truth<'a> {
    pub calls: &'a [Call],
    pub events: &'a [Event],
    /// The store has forgotten what was before this revision.
    pub compacted: i64,
}

/// The calls that were not answered, where all must be.
pub fn unanswered(calls: &[Call]) -> Vec<Violation> {
    let unanswered = calls.iter().filter(|call| call.revision().is_none());
    unanswered
        .map(|call| Violation::new("answered", call.to_string()))
        .collect()
}

/// The longest time without an answered call, of those that `counts`. A serializable read is answered by a member that
/// is of no use otherwise.
pub fn longest_gap(calls: &[Call], counts: impl Fn(&Call) -> bool) -> Time {
    let mut answered: Vec<_> = calls
        .iter()
        .filter(|call| call.action != Action::SerializableGet)
        .filter(|call| call.revision().is_some() && counts(call))
        .map(|call| call.returned)
        .collect();
    answered.sort_unstable();
    answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[cfg(test)]
pub mod doctor {
    //! Makes small histories, which tests then damage.

    use crate::history::{Action, Call, Content, Event, Outcome, Time};

    pub fn content(value: &str, created: i64, modified: i64, version: i64) -> Option<Content> {
        let value = value.to_owned();
        Some(Content {
            value,
            created,
            modified,
            version,
        })
    }

    pub fn call(key: &str, action: Action, times: (Time, Time), outcome: Outcome) -> Call {
        Call {
            client: 0,
            keys: vec![key.to_owned()],
            action,
            called: times.0,
            returned: times.1,
            outcome,
        }
    }

    pub fn ok(revision: i64, found: Option<Content>) -> Outcome {
        Outcome::Ok {
            revision,
            swapped: false,
            found: vec![found],
        }
    }

    pub fn put(value: &str) -> Action {
        Action::Put(value.to_owned())
    }

    /// The events of one key: its values from revision 2 on, one revision apart; "" is a delete.
    pub fn events(key: &str, values: &[&str]) -> Vec<Event> {
        let mut previous: Option<Content> = None;
        let events = values.iter().zip(2..).map(|(value, revision)| {
            let next = (!value.is_empty()).then(|| Content {
                value: (*value).to_owned(),
                created: previous.as_ref().map_or(revision, |content| content.created),
                modified: revision,
                version: previous.as_ref().map_or(0, |content| content.version) + 1,
            });
            Event {
                key: key.to_owned(),
                revision,
                content: next.clone(),
                previous: std::mem::replace(&mut previous, next),
            }
        });
        events.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_lies_between_two_answers() {
        let read = |at| doctor::call("k", Action::Get, (at - 1, at), doctor::ok(1, None));
        assert_eq!(longest_gap(&[read(10), read(50), read(20)], |_| true), 30);
    }
}
