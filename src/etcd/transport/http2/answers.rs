//! When the answers are written that a server is owed for its pings: along with the next request, where one is likely to
//! follow. etcd pings at each request, to measure the line.
//!
//! In: what is about to be written. Out: whether that waits. A guess that was wrong costs 100 ms, and the next answers go
//! at once, until something follows such answers soon. Belongs to the task of one connection.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Answers wait no longer, and what follows them later is none of theirs. Servers and proxies wait a second at least for
/// the answer that tells them that the client is alive.
pub(super) const WAIT: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Answers {
    /// Is something likely to follow?
    is_followed: bool,
    /// Since when the first of those has waited that wait.
    waiting: Option<Instant>,
    /// When answers were written alone, and nothing after them.
    alone: Option<Instant>,
    /// Runs out for those that wait. It is not set anew for each, as that would cost more than waiting saves.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Answers {
    /// Nothing but a few answers is there to be written. Says whether they wait: until something is to be written beside
    /// them, or the task is woken.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_followed {
            return false;
        }
        let now = Instant::now();
        let end = *self.waiting.get_or_insert(now) + WAIT;
        if end <= now {
            self.is_followed = false;
            return false;
        }
        let timer = match &mut self.timer {
            Some(timer) if !timer.is_elapsed() => return true,
            Some(timer) => {
                timer.as_mut().reset(end);
                timer
            }
            timer => timer.insert(Box::pin(sleep_until(end))),
        };
        timer.as_mut().poll(cx).is_pending()
    }

    /// Something is written now: answers `alone`, or beside others.
    pub(super) fn written(&mut self, alone: bool) {
        self.waiting = None;
        if alone {
            self.alone = Some(Instant::now());
        } else if let Some(alone) = self.alone.take() {
            self.is_followed = alone.elapsed() < WAIT;
        }
    }
}
