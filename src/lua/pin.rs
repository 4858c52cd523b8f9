//! Keeps the library mapped for the life of the process.
//!
//! `lua_close` unloads C modules, while the runtime's thread still runs their code. The linker flag of
//! `codegen/main.rs` says the same where the linker knows it; this holds everywhere.

use std::ffi::c_void;
use std::mem::MaybeUninit;

/// Opens this library once more and never closes it.
#[allow(unsafe_code)]
pub(super) fn pin() {
    let mut library = MaybeUninit::<libc::Dl_info>::uninit();
    let here: fn() = pin;
    // SAFETY: `dladdr` fills `library` when it answers other than 0, with a name that lives as long as the library;
    // `dlopen` of a library that is loaded runs no initializer.
    unsafe {
        if libc::dladdr(here as *const c_void, library.as_mut_ptr()) != 0 {
            let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            libc::dlopen(library.assume_init().dli_fname, flags);
        }
    }
}
