//! A value that belongs to one process.
//!
//! In: a value with locks that the runtime's thread may hold. Out: the value, in the process that made it. A forked
//! child has a copy whose locks nobody will ever release: it can neither reach nor drop that.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::process::generation;

/// A value that only the process which made it may use and drop. Dropping it never panics: Lua's collector could not
/// stand that.
pub struct Owned<T> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T> Owned<T> {
    /// Makes the running process the owner of `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: ManuallyDrop::new(value),
            process: generation(),
        }
    }

    /// The value, if this is the process that it belongs to.
    pub fn get(&self) -> Option<&T> {
        (self.process == generation()).then_some(&*self.value)
    }
}

impl<T> Drop for Owned<T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.process == generation() {
            // SAFETY: it is dropped here only, and not used afterwards.
            let drop = || unsafe { ManuallyDrop::drop(&mut self.value) };
            // The panic was reported when it happened.
            let _ = catch_unwind(AssertUnwindSafe(drop));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[test]
    fn p1_a_value_that_panics_when_it_is_dropped_does_so_in_silence() {
        drop(Owned::new(Panics));
    }

    #[test]
    fn p5_the_value_of_another_process_is_neither_reached_nor_dropped() {
        let value = Arc::new(());
        let mut owned = Owned::new(value.clone());
        assert!(owned.get().is_some());
        owned.process += 1;
        assert!(owned.get().is_none());
        drop(owned);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(Owned::new(value.clone()));
        assert_eq!(Arc::strong_count(&value), 2);
    }
}
