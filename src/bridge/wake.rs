//! A descriptor that becomes readable when something has completed, and a way to wait for that.
//!
//! Raised by whoever completes something, watched and lowered on the Lua thread: by the host's own event loop, or by
//! [`Wake::wait`] where the host has none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

pub(super) struct Wake(EventFd);

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(EventFd::from_value_and_flags(0, flags)?))
    }

    /// Makes the descriptor readable.
    pub(super) fn raise(&self) {
        // It fails only when it has been raised 2^64 times without being lowered: it is readable then.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor unreadable.
    pub(super) fn lower(&self) {
        // It fails only when it was not raised.
        let _ = self.0.read();
    }

    /// Blocks this thread until the descriptor is readable, the time is over, or a signal comes: the host's handler
    /// has run by then, and whoever waits must get the chance to act on it.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        // A millisecond more than asked for rather than one less, which would have the caller wait again.
        let limit = match limit.map(|limit| limit.as_nanos().div_ceil(1_000_000)) {
            None => PollTimeout::NONE,
            Some(milliseconds) => PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX),
        };
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], limit) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
