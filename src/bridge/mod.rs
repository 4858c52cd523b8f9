//! Carries operations from a Lua thread to the runtime and their results back, without knowing what they mean.
//!
//! `runtime` is the process's one tokio runtime and `driver` which thread drives it, `queue` a lua_State's own
//! completion queue, `wake` the descriptor that tells the state's host that something has completed; `signals` keeps the
//! host's signals apart, and `owned` is what a forked child must leave alone.

mod driver;
mod owned;
mod queue;
mod runtime;
mod signals;
mod wake;

pub use owned::Owned;
pub use queue::{Bridge, SubmitError};
