//! Responses of name servers: see `silly_etcd::etcd::fuzz`, which checks the servers that follow from them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::records(data));
