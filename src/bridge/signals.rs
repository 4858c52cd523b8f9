//! Keeps the host's signals and this library out of each other's way.
//!
//! A write to a closed socket must not kill the host with SIGPIPE, and the host's own signals must not land on threads
//! of ours, where no handler expects them.

use std::io;
use std::ptr;

use nix::libc::{sigtimedwait, timespec};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Blocks signals of this thread while it lives. Threads started meanwhile inherit that.
pub(super) struct Blocked {
    before: SigSet,
    lent: bool,
}

impl Blocked {
    /// All signals: for threads of ours.
    pub(super) fn all() -> io::Result<Self> {
        Ok(Self {
            before: SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?,
            lent: false,
        })
    }

    /// The same for a thread of the host's that works for us for a moment. What comes meanwhile waits for its end, but
    /// for SIGPIPE, which a write of ours has caused.
    pub(super) fn lent() -> io::Result<Self> {
        let mut blocked = Self::all()?;
        blocked.lent = true;
        Ok(blocked)
    }

    /// What stays blocked while the thread sleeps at the end of that: what the host blocks itself, and our SIGPIPE.
    pub(super) fn asleep(&self) -> SigSet {
        self.before | pipe()
    }
}

impl Drop for Blocked {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.lent && !self.before.contains(Signal::SIGPIPE) {
            let now = timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: both pointers are to values that live, and no information about the signal is asked for. One that
            // came meanwhile was for this thread, and from a write of ours.
            unsafe { sigtimedwait(pipe().as_ref(), ptr::null_mut(), &raw const now) };
        }
        // It was a valid mask a moment ago.
        let _ = self.before.thread_set_mask();
    }
}

fn pipe() -> SigSet {
    SigSet::from(Signal::SIGPIPE)
}
