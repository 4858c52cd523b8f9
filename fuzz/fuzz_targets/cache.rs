//! The replica of a cache: see `silly_etcd::etcd::fuzz`, which checks what it holds and tells.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::cache(data));
