//! A client against servers that break the rules, by mistake or on purpose: each call ends by its deadline with a
//! definite outcome, in bounded memory, and the client lives on. Single cases of lost answers are in `tests/call`.
//!
//! The tests carry the numbers of the project's goals: H1 streams of bytes that are no HTTP/2 or abuse it, H2 the
//! framing of gRPC, H3 protobuf, H5 compression.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod bytes;
mod cases;
mod compression;
mod framing;
mod memory;
mod protobuf;
mod server;
mod size;
mod streams;

use silly_etcd::etcd::Error;
use silly_etcd::etcd::pb::PutRequest;
use support::unary::answer;
use support::{Call, Cluster};

/// Breaks the first answer.
async fn break_the_first(broken: impl Fn(&mut Call) + Clone + Send + Sync + 'static) -> Cluster {
    let script = move |mut call: Call| {
        let broken = broken.clone();
        async move {
            if call.number > 0 {
                return answer(call).await;
            }
            call.request::<PutRequest>().await;
            broken(&mut call);
            call.abandoned().await;
        }
    };
    Cluster::start(1, script).await
}

/// An error's text is one line of at most 4 KiB.
fn assert_readable(name: &str, error: &Error) {
    assert!(!error.message.is_empty(), "{name}");
    assert!(!error.message.contains(char::is_control), "{name}: {error}");
    assert!(error.message.len() <= 4096, "{name}");
}
