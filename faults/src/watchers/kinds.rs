//! The watches that live through the whole run: of each kind one, and a crowd of those that see nothing.

use crate::history::Wanted;
use crate::traffic::{IDLE, PREFIX};

/// The watches that live through the whole run.
pub fn steady() -> Vec<(&'static str, bool, Wanted)> {
    let all = || Wanted {
        key: PREFIX.to_owned(),
        prefix: true,
        ..Wanted::default()
    };
    let one = |key: &str| Wanted {
        key: key.to_owned(),
        ..Wanted::default()
    };
    vec![
        (
            "from the start",
            false,
            Wanted {
                start: 1,
                previous: true,
                ..all()
            },
        ),
        ("from now", false, all()),
        ("slow", true, Wanted { start: 1, ..all() }),
        (
            "one key",
            false,
            Wanted {
                previous: true,
                ..one("k/a")
            },
        ),
        (
            "puts of one key",
            false,
            Wanted {
                no_delete: true,
                ..one("k/b")
            },
        ),
        (
            "deletes",
            false,
            Wanted {
                no_put: true,
                previous: true,
                ..all()
            },
        ),
        (
            "pairs",
            false,
            Wanted {
                key: "k/pair/".to_owned(),
                start: 1,
                ..all()
            },
        ),
        ("nothing", false, one(IDLE)),
        (
            "progress",
            false,
            Wanted {
                progress: true,
                ..all()
            },
        ),
    ]
}

/// So many watches of a client that see nothing before the end.
pub fn crowd(size: usize) -> impl Iterator<Item = (String, Wanted)> {
    let wanted = Wanted {
        key: IDLE.to_owned(),
        ..Wanted::default()
    };
    (0..size).map(move |i| (format!("in the crowd {i}"), wanted.clone()))
}
