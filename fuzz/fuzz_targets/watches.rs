//! The state machine of watches: see `silly_etcd::etcd::fuzz`, which checks what it delivers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::watches(data));
