//! How long something may take.

use std::time::Duration;

use tokio::time::Instant;

/// When something began, and when it ends at the latest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) began: Instant,
    pub(crate) end: Instant,
}

impl Deadline {
    /// Of what begins now and may take so long.
    pub(crate) fn within(limit: Duration) -> Self {
        let began = Instant::now();
        let end = began + limit;
        Self { began, end }
    }

    /// The time between the two.
    pub(crate) fn length(self) -> Duration {
        self.end.saturating_duration_since(self.began)
    }
}
