//! A clock that goes on while the machine is suspended, unlike the one that tokio's timers run on.
//!
//! The life of a lease is measured on it: the server's clock does not stop with ours.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// A point on that clock: tokio's, moved on by the time that was spent in suspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

impl Moment {
    /// The present.
    pub(crate) fn now() -> Self {
        Self(Instant::now() + suspended())
    }

    /// A moment that is not after `instant`, for which the clocks need not be asked.
    pub(crate) fn not_after(instant: Instant) -> Self {
        Self(instant)
    }

    /// How long until this moment; zero if it has passed.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Self::now().0)
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// The time that this machine has spent in suspend, in steps that are coarser than the error of reading two clocks.
#[cfg(target_os = "linux")]
fn suspended() -> Duration {
    use nix::time::{ClockId, clock_gettime};

    const STEP: u128 = 100;
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    let difference = read(ClockId::CLOCK_BOOTTIME).saturating_sub(read(ClockId::CLOCK_MONOTONIC));
    let steps = (difference.as_millis() + STEP / 2) / STEP;
    Duration::from_millis(u64::try_from(steps * STEP).unwrap_or(0))
}

/// Other systems' clocks go on in suspend, or there is no way to tell.
#[cfg(not(target_os = "linux"))]
fn suspended() -> Duration {
    Duration::ZERO
}
