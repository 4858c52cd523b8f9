//! The reads of caches against the store's history: each is old perhaps, and right at its revision, in the present life of
//! the store or in one before. Where the store has had one life only, none is older than the one before it.

use super::lives::Life;
use super::{Violation, serializable};
use crate::history::{Call, Outcome};

/// All that is wrong with them, in the order in which they were made.
pub fn check(reads: &[Call], lives: &[Life], prefix: &str) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut newest = 0;
    let truths: Vec<Vec<_>> = lives
        .iter()
        .map(|life| life.truth().events.iter())
        .map(|events| events.filter(|event| event.key.starts_with(prefix)).collect())
        .collect();
    for read in reads {
        if let Outcome::Failed(problem) = &read.outcome {
            wrong.push(Violation::new("cached", problem));
        }
        let found = truths
            .iter()
            .map(|events| serializable::check(std::slice::from_ref(read), events));
        wrong.extend(found.min_by_key(Vec::len).unwrap_or_default());
        let revision = read.revision().unwrap_or(newest);
        if revision < newest && lives.len() == 1 {
            wrong.push(Violation::new("cached", format!("after revision {newest}: {read}")));
        }
        newest = revision;
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::doctor::{call, content, events, ok};
    use super::super::lives::{self, Past};
    use super::*;
    use crate::history::{Action, Content};

    const KEY: &str = "k/a";

    fn read(revision: i64, found: Option<Content>) -> Call {
        call(KEY, Action::SerializableGet, (10, 20), ok(revision, found))
    }

    fn wrong(reads: &[Call], past: Vec<Past>) -> usize {
        let lives = lives::tell(past, &[], events(KEY, &["x", "y", ""]), 0);
        check(reads, &lives, "k/").len()
    }

    #[test]
    fn a_sound_history_passes() {
        let reads = [
            read(2, content("x", 2, 2, 1)),
            read(3, content("y", 2, 3, 2)),
            read(4, None),
        ];
        assert_eq!(wrong(&reads, Vec::new()), 0);
    }

    #[test]
    fn what_was_not_there_at_its_revision_is_found() {
        assert_eq!(wrong(&[read(3, content("x", 2, 2, 1))], Vec::new()), 1);
        assert_eq!(wrong(&[read(2, None)], Vec::new()), 1);
    }

    #[test]
    fn a_revision_that_goes_back_is_found_unless_the_store_did() {
        let reads = [read(4, None), read(2, content("x", 2, 2, 1))];
        assert_eq!(wrong(&reads, Vec::new()), 1);
        let past = Past {
            until: 15,
            kept: 2,
            events: events(KEY, &["x", "z"]),
        };
        let reads = [read(3, content("z", 2, 3, 2)), read(2, content("x", 2, 2, 1))];
        assert_eq!(wrong(&reads, vec![past]), 0);
    }

    #[test]
    fn what_has_failed_is_found() {
        let failed = call(
            KEY,
            Action::SerializableGet,
            (10, 20),
            Outcome::Failed("late".to_owned()),
        );
        assert_eq!(wrong(&[failed], Vec::new()), 1);
    }
}
