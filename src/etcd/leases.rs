//! The leases that a client renews in the background.
//!
//! The `keeper` runs the `stream` that renews them, `state` decides what is due and what is lost, and `renewals` is
//! what the user of one lease follows.

mod keeper;
mod renewals;
mod state;
mod stream;

pub(crate) use keeper::Keeper;
pub use renewals::Renewals;
pub(crate) use stream::KEEP_ALIVE;
