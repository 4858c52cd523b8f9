//! Places in a queue: see `silly_etcd::etcd::fuzz`, which checks that at most one is held and none left behind.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::contender(data));
