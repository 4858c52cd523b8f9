//! A connection to a server that says anything: see `silly_etcd::etcd::fuzz`, which checks that what is under way ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::connection(data));
