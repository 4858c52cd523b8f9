//! What a test sets aside: an allocator that counts, for each thread by itself. Client and servers of a test share one
//! thread, and so one count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    /// The bytes in use, and the most that there were since they were last measured.
    static USED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // A thread may free something after its own data is gone.
    let _ = USED.try_with(|used| {
        let (now, peak) = used.get();
        used.set((now + change, peak.max(now + change)));
    });
}

// Everything is passed on to the system's allocator as it came.
#[allow(unsafe_code, reason = "the trait is unsafe to implement")]
// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.dealloc(bytes, layout) }
    }

    unsafe fn realloc(&self, bytes: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.realloc(bytes, layout, size) }
    }
}

/// A measurement of this thread, from its beginning on.
pub(crate) struct Measured(isize);

/// Begins a measurement, and ends all others.
pub(crate) fn measure() -> Measured {
    USED.with(|used| {
        let (now, _) = used.get();
        used.set((now, now));
        Measured(now)
    })
}

impl Measured {
    /// The most that was in use since then, beyond what was in use at that time.
    pub(crate) fn peak(&self) -> usize {
        USED.with(|used| used.get().1 - self.0).cast_unsigned()
    }
}
