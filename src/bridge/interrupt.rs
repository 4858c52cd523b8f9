//! SIGINT and SIGTERM for a program that asks for them: told, in place of what the process did about them.
//!
//! In: `catch`, once. Out: the signal that came. Each is caught once; when it comes again it ends the process, for a
//! program that never looks.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The signal that came and was not told yet, or 0.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Has one come that no wait has ended for yet?
static FRESH: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(signal: c_int) {
    CAUGHT.store(signal, Ordering::SeqCst);
    FRESH.store(true, Ordering::SeqCst);
}

/// From now on they are caught. One that the process ignores stays ignored.
#[allow(unsafe_code)]
pub fn catch() -> io::Result<()> {
    let caught = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler does nothing but store two values; what was there before is put back as it was.
        unsafe {
            let before = sigaction(signal, &caught)?;
            if matches!(before.handler(), SigHandler::SigIgn) {
                sigaction(signal, &before)?;
            }
        }
    }
    Ok(())
}

/// The signal that came, told once.
pub fn caught() -> Option<i32> {
    // Asked all the time, and hardly ever with one there.
    let some = CAUGHT.load(Ordering::SeqCst) != 0;
    some.then(|| CAUGHT.swap(0, Ordering::SeqCst))
}

/// Shall the wait that is about to begin end at once? Says so once for a signal.
pub(super) fn is_fresh() -> bool {
    FRESH.swap(false, Ordering::SeqCst)
}
