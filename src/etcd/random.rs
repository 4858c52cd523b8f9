//! Random numbers from the operating system.
//!
//! A generator of our own would be copied by fork and by snapshots of a machine, and two processes would then choose
//! the same. Asking the kernel costs a fraction of a microsecond, and is done where something was lost or begins.

use super::error::{Code, Error, Result};

/// A number of 64 bits.
pub(crate) fn bits() -> u64 {
    // No kernel that runs etcd's clients refuses. Chance is no matter of safety but for ids.
    unique("nothing").unwrap_or(0)
}

/// The same for `what`, which nobody else may have drawn.
pub(crate) fn unique(what: &str) -> Result<u64> {
    let mut bytes = [0; 8];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| Error::new(Code::Internal, format!("no random number for {what}: {error}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A number below `limit`; 0 where that is 0.
pub(crate) fn below(limit: usize) -> usize {
    // Not quite even for limits that no list has.
    bits().checked_rem(limit as u64).unwrap_or(0) as usize
}

/// A number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    bits() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_keep_below_their_limit() {
        assert_ne!(bits(), bits());
        assert_eq!(below(0), 0);
        assert!((0..100).all(|_| below(3) < 3 && (0.0..=1.0).contains(&fraction())));
    }
}
