//! What the runner, the canned server and the contender in Rust have in common.

pub mod data;
