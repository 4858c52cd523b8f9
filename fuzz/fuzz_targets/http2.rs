//! An HTTP/2 session between a user and a server, honest or not: see `silly_etcd::etcd::fuzz`, which checks that what it
//! writes is within the server's windows, that its memory is bounded, and that nothing stalls or is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| silly_etcd::etcd::fuzz::http2(data));
