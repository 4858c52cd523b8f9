//! A descriptor that becomes readable when something has completed, and a way to wait for that.
//!
//! Raised by the thread that completes something, watched and lowered on the Lua thread: by the host's own event loop,
//! or by [`Wake::wait`] where the host has none.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;

use super::process::generation;

/// Longer than any process lives.
const FOREVER: Duration = Duration::from_secs(1 << 40);

/// Descriptors that are free again, and the processes that made them. What a host has watched is never closed: it may
/// forget that later than we do, and would then hit the file that had been given its number.
static FREE: Mutex<Vec<(u32, EventFd)>> = Mutex::new(Vec::new());

pub(super) struct Wake {
    eventfd: ManuallyDrop<EventFd>,
    /// A host has it, or had it.
    lent: AtomicBool,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        // In a forked child the lock may be held for ever, and what is free belongs to the parent too.
        if let Ok(mut free) = FREE.try_lock()
            && let Some(at) = free.iter().position(|(process, _)| *process == generation())
        {
            return Ok(Self::of(free.swap_remove(at).1, true));
        }
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self::of(EventFd::from_value_and_flags(0, flags)?, false))
    }

    fn of(eventfd: EventFd, lent: bool) -> Self {
        Self {
            eventfd: ManuallyDrop::new(eventfd),
            lent: AtomicBool::new(lent),
        }
    }

    /// The descriptor, for a host to watch.
    pub(super) fn descriptor(&self) -> RawFd {
        self.lent.store(true, Ordering::Relaxed);
        self.eventfd.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub(super) fn raise(&self) {
        // It fails only when it has been raised 2^64 times without being lowered: it is readable then.
        let _ = self.eventfd.write(1);
    }

    /// Makes the descriptor unreadable. Returns how often it had been raised.
    pub(super) fn lower(&self) -> u64 {
        // It fails only when it was not raised.
        self.eventfd.read().unwrap_or(0)
    }

    /// Blocks this thread until the descriptor is readable, the time is over, or a signal comes: the host's handler
    /// has run by then, and the caller must get the chance to act on it. While it waits the signals in `mask` are
    /// blocked, so that one which was blocked until now counts too. Says whether the descriptor is readable.
    pub(super) fn wait(&self, limit: Option<Duration>, mask: Option<SigSet>) -> io::Result<bool> {
        // More than the largest time that there is would be refused.
        let limit = limit.map(|limit| limit.min(FOREVER).into());
        match ppoll(&mut [PollFd::new(self.eventfd.as_fd(), PollFlags::POLLIN)], limit, mask) {
            Ok(readable) => Ok(readable > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Wake {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        self.lower();
        // SAFETY: it is taken here only, and not used afterwards.
        let eventfd = unsafe { ManuallyDrop::take(&mut self.eventfd) };
        if !*self.lent.get_mut() {
            return;
        }
        match FREE.try_lock() {
            Ok(mut free) => free.push((generation(), eventfd)),
            Err(_) => std::mem::forget(eventfd),
        }
    }
}
