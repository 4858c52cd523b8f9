//! Responses as Lua gets them: bytes become messages, which become tables.
//!
//! In: the bytes of a message. Out: a crash, or a Lua error where `tables.lua` finds two tables that differ.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| host::run(include_str!("tables.lua"), data));
