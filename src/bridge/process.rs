//! Which process this is, without asking the kernel for each call.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc::pthread_atfork;
use once_cell::sync::OnceCell;

/// How many forks lie between the process that loaded the library and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A number that a forked child does not share with its parent, nor with any other ancestor.
#[allow(unsafe_code)]
pub(super) fn generation() -> u32 {
    static COUNTED: OnceCell<bool> = OnceCell::new();
    // SAFETY: the library is never unloaded, and the handler only counts.
    let counted = COUNTED.get_or_init(|| unsafe { pthread_atfork(None, None, Some(forked)) } == 0);
    if *counted {
        FORKS.load(Ordering::Relaxed)
    } else {
        process::id()
    }
}

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
