//! How much a server may send: as much as was read of what it has sent.

/// The largest window that there is.
pub(super) const LARGEST: i64 = (1 << 31) - 1;

/// The window of a stream or a connection for what comes in.
pub(super) struct Window {
    size: usize,
    /// What the server may still send.
    left: usize,
    /// What was read, of which the server was not told.
    read: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            left: size,
            read: 0,
        }
    }

    /// So much has come. Says whether that was allowed.
    #[must_use]
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// So much was read. Returns by how much the server is to be told that the window has opened, if that is worth a
    /// frame.
    pub(super) fn give_back(&mut self, bytes: usize) -> Option<u32> {
        self.read += bytes;
        if self.read < self.size / 2 {
            return None;
        }
        self.left += self.read;
        u32::try_from(std::mem::take(&mut self.read)).ok()
    }

    /// Is all of it accounted for, where so much was not read yet?
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn holds(&self, unread: usize) -> bool {
        self.left + self.read + unread == self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_may_be_sent_again_and_no_more() {
        let mut window = Window::new(100);
        assert!(window.take(60) && window.take(40));
        assert_eq!((window.give_back(49), window.give_back(11)), (None, Some(60)));
        assert!(window.take(60) && window.take(0) && !window.take(1));
    }
}
