//! Serializable reads against the store's history: what a member answers may be old, but it is all that the store held
//! at the revision that the answer names.

use std::collections::HashMap;

use super::Violation;
use crate::history::{Action, Call, Content, Event, Outcome};

/// All that is wrong with the serializable reads among the calls. The events are those of the keys that are read.
pub fn check(calls: &[Call], events: &[&Event]) -> Vec<Violation> {
    let mut reads: Vec<_> = calls
        .iter()
        .filter(|call| call.action == Action::SerializableGet)
        .collect();
    reads.sort_by_key(|call| call.revision());
    let mut events = events.iter().peekable();
    let mut store: HashMap<&str, Option<&Content>> = HashMap::new();
    let mut wrong = Vec::new();
    for read in reads {
        let Outcome::Ok { revision, found, .. } = &read.outcome else {
            continue;
        };
        while let Some(event) = events.next_if(|event| event.revision <= *revision) {
            store.insert(&event.key, event.content.as_ref());
        }
        for (key, content) in read.keys.iter().zip(found) {
            let held = store.get(key.as_str()).copied().flatten();
            if content.as_ref() != held {
                wrong.push(Violation::new("replayed", format!("{key} held {held:?}: {read}")));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::doctor::{call, content, events, ok};
    use super::*;

    const KEY: &str = "k/a";

    /// A read of the key that was answered at a revision.
    fn read(revision: i64, found: Option<Content>) -> Call {
        call(KEY, Action::SerializableGet, (10, 20), ok(revision, found))
    }

    /// What is wrong when x is put at revision 2, y at 3, and the key is deleted at 4.
    fn wrong(reads: &[Call]) -> usize {
        let events = events(KEY, &["x", "y", ""]);
        check(reads, &events.iter().collect::<Vec<_>>()).len()
    }

    #[test]
    fn a_sound_history_passes() {
        let (x, y) = (content("x", 2, 2, 1), content("y", 2, 3, 2));
        // Two members: one is behind the other.
        let reads = [read(3, y), read(2, x), read(5, None), read(1, None), read(4, None)];
        assert_eq!(wrong(&reads), 0);
    }

    #[test]
    fn c9_what_was_written_later_is_found() {
        assert_eq!(wrong(&[read(2, content("y", 2, 3, 2))]), 1);
    }

    #[test]
    fn c9_what_was_overwritten_is_found() {
        assert_eq!(wrong(&[read(3, content("x", 2, 2, 1))]), 1);
    }

    #[test]
    fn c9_what_was_deleted_is_found() {
        assert_eq!(wrong(&[read(4, content("y", 2, 3, 2))]), 1);
    }

    #[test]
    fn c9_a_missing_key_is_found() {
        assert_eq!(wrong(&[read(3, None)]), 1);
    }

    #[test]
    fn c9_a_wrong_version_is_found() {
        assert_eq!(wrong(&[read(3, content("y", 2, 3, 1))]), 1);
    }

    #[test]
    fn c9_a_read_is_checked_whatever_the_others_are() {
        let reads = [read(4, None), read(2, content("x", 2, 2, 1)), read(3, None)];
        assert_eq!(wrong(&reads), 1);
    }
}
