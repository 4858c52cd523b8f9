//! Carries operations from a Lua thread to the runtime and their results back, without knowing what they mean.
//!
//! `queue` is what a lua_State sees: it submits operations to the `runtime` of the process, and takes their results
//! from its own `completed`. `driver` says which thread drives the runtime; `wake`, a descriptor, and `loopback`, a
//! socket, tell the state's host that something has completed. `signals` keeps the host's signals apart, and
//! `interrupt` catches two of them for a program that asks. `process` tells a forked child from its parent, and `owned`
//! is what a forked child must leave alone.

mod completed;
mod driver;
mod interrupt;
mod loopback;
mod owned;
mod process;
mod queue;
mod runtime;
mod signals;
mod wake;

pub use interrupt::{catch, caught};
pub use owned::Owned;
pub use queue::{Bridge, SubmitError};
