//! The writes under a lock against the store's history: each was made while its locker was the first in the queue, each
//! counts one more than the one before, and an answer tells the truth.

use std::collections::HashMap;

use super::Violation;
use super::lives::Life;
use crate::history::{Event, Outcome};
use crate::lockers::{COUNTER, Counted, NAME};

/// All that is wrong with them.
pub fn check(counted: &[Counted], lives: &[Life]) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for life in lives {
        let (found, left) = queue(life.truth().events);
        wrong.extend(found);
        // A life that is over ends in the midst.
        if lives.last().is_some_and(|last| std::ptr::eq(last, life)) && !left.is_empty() {
            wrong.push(Violation::new("left the queue", format!("{left:?} are there still")));
        }
    }
    // What was written in a life that is over may be told in none.
    if let [life] = lives {
        wrong.extend(answers(counted, life.truth().events));
    }
    wrong
}

/// Plays the history: who is in the queue when something is counted, and at the end?
fn queue(events: &[Event]) -> (Vec<Violation>, Vec<&str>) {
    let mut wrong = Vec::new();
    let mut fail = |event: &Event, text: &str| {
        wrong.push(Violation::new("locked", format!("{text}: {event:?}")));
    };
    // Key -> when it was created.
    let mut queue: HashMap<&str, i64> = HashMap::new();
    let (mut count, mut fence) = (0, 0);
    for event in events {
        let is_place = event.key.strip_prefix(NAME).is_some_and(|rest| rest.starts_with('/'));
        match &event.content {
            Some(content) if is_place => {
                queue.insert(&event.key, content.created);
            }
            None if is_place => {
                queue.remove(event.key.as_str());
            }
            Some(content) if event.key == COUNTER => {
                let mut words = content.value.split(' ').map(|word| word.parse().unwrap_or(-1));
                let (now, by) = (words.next().unwrap_or(-1), words.next().unwrap_or(-1));
                if queue.values().min() != Some(&by) {
                    fail(event, "its writer was not the first in the queue");
                }
                if now != count + 1 {
                    fail(event, "a write was lost before it");
                }
                if by < fence {
                    fail(event, "its fencing number is smaller than the one before");
                }
                (count, fence) = (now, by);
            }
            _ => {}
        }
    }
    (wrong, queue.into_keys().collect())
}

/// What was answered has happened, what failed for certain has not.
fn answers(counted: &[Counted], events: &[Event]) -> Vec<Violation> {
    let written: HashMap<&str, i64> = events
        .iter()
        .filter(|event| event.key == COUNTER)
        .filter_map(|event| Some((event.content.as_ref()?.value.as_str(), event.revision)))
        .collect();
    let is_true = |counted: &&Counted| {
        let at = written.get(counted.value.as_str());
        match &counted.outcome {
            Outcome::Ok { revision, .. } => at == Some(revision),
            Outcome::Failed(_) => at.is_none(),
            Outcome::Unknown(_) => true,
        }
    };
    let lies = counted.iter().filter(|counted| !is_true(counted));
    lies.map(|lie| Violation::new("told the truth", format!("{lie:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Content;

    fn event(key: &str, revision: i64, value: Option<&str>) -> Event {
        let content = value.map(|value| Content {
            value: value.to_owned(),
            created: revision,
            modified: revision,
            version: 1,
        });
        Event {
            key: key.to_owned(),
            revision,
            content,
            previous: None,
        }
    }

    fn sound() -> Vec<Event> {
        vec![
            event("lock/name/a", 2, Some("")),
            event("lock/name/b", 3, Some("")),
            event(COUNTER, 4, Some("1 2 a")),
            event("lock/name/a", 5, None),
            event(COUNTER, 6, Some("2 3 b")),
            event("lock/name/b", 7, None),
        ]
    }

    /// How many violations, and how many places that are left.
    fn changed(at: usize, event: Event) -> (usize, usize) {
        let mut events = sound();
        events[at] = event;
        let (wrong, left) = queue(&events);
        (wrong.len(), left.len())
    }

    #[test]
    fn a_sound_history_passes() {
        assert_eq!(queue(&sound()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_write_by_another_than_the_first_is_found() {
        assert_eq!(changed(2, event(COUNTER, 4, Some("1 3 b"))), (1, 0));
        assert_eq!(changed(3, event("other", 5, None)), (1, 1));
    }

    #[test]
    fn a_lost_write_is_found() {
        assert_eq!(changed(4, event(COUNTER, 6, Some("1 3 b"))), (1, 0));
        assert_eq!(changed(4, event(COUNTER, 6, Some("3 3 b"))), (1, 0));
    }

    #[test]
    fn a_number_that_falls_is_found() {
        let mut events = sound();
        events.push(event("lock/name/c", 1, Some("")));
        events.push(event(COUNTER, 8, Some("3 1 c")));
        events.push(event("lock/name/c", 9, None));
        assert_eq!(queue(&events).0.len(), 1);
    }

    #[test]
    fn a_place_that_is_left_behind_is_found() {
        assert_eq!(changed(5, event("other", 7, None)), (0, 1));
    }

    #[test]
    fn a_lie_is_found() {
        let counted = |value: &str, outcome| Counted {
            value: value.to_owned(),
            outcome,
        };
        let ok = |revision| Outcome::Ok {
            revision,
            swapped: false,
            found: Vec::new(),
        };
        let lies = |counted| answers(&[counted], &sound()).len();
        assert_eq!(lies(counted("1 2 a", ok(4))), 0);
        assert_eq!(lies(counted("1 2 a", ok(5))), 1);
        assert_eq!(lies(counted("9 2 a", ok(4))), 1);
        assert_eq!(lies(counted("1 2 a", Outcome::Failed(String::new()))), 1);
        assert_eq!(lies(counted("9 2 a", Outcome::Failed(String::new()))), 0);
        assert_eq!(lies(counted("9 2 a", Outcome::Unknown(String::new()))), 0);
    }
}
