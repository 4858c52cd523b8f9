//! What a watch is doing, as its user sees it.

use std::time::Duration;

/// What a watch is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether its events come.
    pub state: State,
    /// All events up to this revision have been delivered; 0 once it has ended.
    pub revision: i64,
    /// For how long it has been cut off; zero where it is not.
    pub lag: Duration,
    /// Why it is cut off, as far as that is known.
    pub message: Option<String>,
}

/// Whether the events of a watch come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The server sends them.
    Ready,
    /// It is cut off, and will be resumed.
    Stale,
    /// Its reader has left so much unread that the server is to wait.
    Paused,
    /// It has ended.
    Ended,
}

impl State {
    /// The name that programs compare.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}
