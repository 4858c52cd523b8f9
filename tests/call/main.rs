//! Unary calls against a scripted etcd: what is sent again and what never, which server is asked, when a call ends.
//! A test that proves a goal of the project carries its number: C1 outcomes told apart, C2 no write twice, C3 unsent
//! writes sent again, C4 reads repeated, C5 deadlines, C6 failover, C7 silent servers, C9 serializable reads, C12
//! back-off.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod backoff;
mod close;
mod deadline;
mod down;
mod errors;
mod foreign;
mod lost;
mod metadata;
mod once;
mod ping;
mod route;
mod token;
mod unsent;

use support::unary::{answer, get, outcome, put};
