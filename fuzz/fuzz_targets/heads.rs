//! Compressed heads of responses: see `silly_etcd::etcd::fuzz`, which knows what stands in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::heads(data));
