//! Requests from Lua: bytes become Lua values, which become the arguments of every method of the module.
//!
//! In: bytes; `requests.lua` says how they are read. Out: a crash, a Lua error where none may be, or a request that is
//! answered, though the client is closed.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| host::run(include_str!("requests.lua"), data));
