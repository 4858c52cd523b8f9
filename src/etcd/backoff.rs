//! The pauses between attempts that keep failing.

use std::time::Duration;

use super::error::{Code, Error};
use super::random;

const FIRST: Duration = Duration::from_millis(25);
const LAST: Duration = Duration::from_secs(1);
const DENIED: Duration = Duration::from_secs(5);

/// The pause after `failures` failures in a row, from 25 ms doubled up to 1 s, shortened at random by up to half so
/// that the clients of a restarted server do not come all at once.
pub(crate) fn pause(failures: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.min(16)).min(LAST);
    full.mul_f64(0.5 + random::fraction() / 2.0)
}

/// The pause of what goes on by itself, after a failure and those in a row before it: longer where a user has no right,
/// which somebody must give first.
pub(crate) fn after(error: &Error, failures: u32) -> Duration {
    match error.code {
        Code::PermissionDenied | Code::Unauthenticated => DENIED,
        _ => pause(failures),
    }
}

/// A pause of `length` and up to a fifth more: many clients that failed together do not come back together.
pub(crate) fn at_least(length: Duration) -> Duration {
    length.saturating_add(length.mul_f64(random::fraction() / 5.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_one_second() {
        assert!(pause(0) <= FIRST);
        for failures in [10, 1000, u32::MAX] {
            assert!((LAST / 2..=LAST).contains(&pause(failures)));
        }
    }

    #[test]
    fn what_was_asked_for_is_exceeded_by_a_fifth_at_most() {
        let length = Duration::from_secs(1);
        let pauses: Vec<_> = (0..100).map(|_| at_least(length)).collect();
        assert!(
            pauses.iter().all(|pause| (length..=length * 6 / 5).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        assert_eq!(at_least(Duration::ZERO), Duration::ZERO);
        assert_eq!(at_least(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn each_is_twice_the_one_before_and_no_two_clients_wait_alike() {
        for failures in 0..5 {
            let full = FIRST * (1 << failures);
            let pauses: Vec<_> = (0..100).map(|_| pause(failures)).collect();
            assert!(
                pauses.iter().all(|pause| (full / 2..=full).contains(pause)),
                "{pauses:?}"
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
