//! The watches of a client: every event of a range of keys exactly once, in order, across any fault.
//!
//! `hub` runs the one stream that all watches of a client share, each message of it is a `batch`, `state` decides what it
//! means, `check` asks the server beside it, `reason` says why a server ended a watch, and `inbox` holds what a reader
//! has not read yet. A `watcher` is what the user of one watch holds.

mod batch;
mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;
mod hub;
mod inbox;
mod reason;
mod state;
mod status;
mod watcher;

pub use batch::Batch;
pub(crate) use hub::Hub;
pub use status::{State, Status};
pub use watcher::{Batches, Watcher};
