//! Messages as they stay beside what prost makes of them: see `silly_etcd::etcd::fuzz`, which compares the two.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::messages(data));
