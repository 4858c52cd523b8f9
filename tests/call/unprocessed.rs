//! What the peer declares unprocessed is sent again at once, even if it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::{run, until};
use super::support::unary::call_all;
use super::support::{Call, Cluster, Fault, ONCE};
use super::unsent::refuse;
use super::{keepalive, outcome, put, serve, watch, with_password};

const HOUR: Duration = Duration::from_secs(3600);

/// With each of these the peer declares that it has not processed the request.
pub(crate) const UNPROCESSED: [Fault; 4] = [
    ("RST_STREAM REFUSED_STREAM", |call| call.reset(Reason::REFUSED_STREAM)),
    ("GOAWAY that covers only earlier requests", |call| {
        call.wire.goaway(call.stream - 1, Reason::NO_ERROR);
    }),
    ("GOAWAY that covers only earlier requests, then closed", |call| {
        call.wire.goaway(call.stream - 1, Reason::ENHANCE_YOUR_CALM);
        call.wire.close();
    }),
    ("GOAWAY in two steps", |call| {
        call.wire.goaway(u32::MAX >> 1, Reason::NO_ERROR);
        call.wire.goaway(0, Reason::NO_ERROR);
    }),
];

#[test]
fn what_was_not_processed_is_sent_again_at_once_and_costs_no_retry() {
    run(async {
        for (name, refusal) in UNPROCESSED {
            for before in 0..2 {
                let refused = before..before + 2;
                let etcd = Cluster::start(1, move |call| refuse(refused.clone(), call, refusal)).await;
                let options = CallOptions {
                    retry_sleep: HOUR,
                    ..ONCE
                };
                let client = etcd.client(options);
                for _ in 0..before {
                    put(&client).await.unwrap();
                }
                // Time stands still: a pause would have no end.
                assert_eq!(outcome(put(&client).await), Ok(()), "{name}");
                assert_eq!(etcd.methods().len(), before + 3, "{name}");
                // On a connection of its own each time.
                assert!(etcd.seen()[before + 1..].iter().all(|seen| seen.stream == 1), "{name}");
            }
        }
    });
}

#[test]
fn that_goes_for_every_call() {
    run(async {
        for (name, refusal) in UNPROCESSED {
            let etcd = Cluster::start(1, move |call: Call| async move {
                // Every other request.
                let refused = if call.number.is_multiple_of(2) {
                    call.number..call.number + 1
                } else {
                    0..0
                };
                refuse(refused, call, refusal).await;
            })
            .await;
            let options = CallOptions {
                retry_sleep: HOUR,
                ..ONCE
            };
            let client = etcd.client(options);
            call_all(&client).await;
            let methods = etcd.methods();
            for pair in methods.chunks(2) {
                assert_eq!(pair[0], *pair.last().unwrap(), "{name}: {methods:?}");
            }
        }
    });
}

#[test]
fn what_is_never_processed_ends_and_did_not_happen() {
    run(async {
        for (name, refusal) in UNPROCESSED {
            let etcd = Cluster::start(1, move |call| refuse(0..usize::MAX, call, refusal)).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            let error = until(put(&client)).await.unwrap_err();
            assert_eq!((error.code, error.applied), (Code::Unavailable, Applied::No), "{name}");
            // Four at once without getting anywhere, and the retry the same.
            assert_eq!((error.attempts.unwrap().count, etcd.methods().len()), (2, 8), "{name}");
        }
    });
}

#[test]
fn so_are_a_login_a_watch_and_a_renewal() {
    const PAUSE: CallOptions = CallOptions {
        retry_sleep: HOUR,
        ..ONCE
    };
    run(async {
        for (name, refusal) in UNPROCESSED {
            for method in ["Authenticate", "Watch", "LeaseKeepAlive"] {
                let (times, seen) = (2, Arc::<AtomicUsize>::default());
                let script = move |mut call: Call| {
                    let refused = call.method == method && seen.fetch_add(1, Ordering::Relaxed) < times;
                    async move {
                        if !refused {
                            return serve(call).await;
                        }
                        call.request::<()>().await;
                        refusal(&mut call);
                        call.abandoned().await;
                    }
                };
                let etcd = Cluster::start(1, script).await;
                let client = etcd.client(PAUSE);
                // Time stands still: a pause would have no end.
                let answered = match method {
                    "Authenticate" => put(&with_password(&etcd, PAUSE)).await.map(drop),
                    "Watch" => watch(&client).await.map(drop),
                    _ => keepalive(&client).await,
                };
                assert_eq!(outcome(answered), Ok(()), "{name}: {method}");
                let asked = etcd.methods().iter().filter(|seen| *seen == method).count();
                assert_eq!(asked, times + 1, "{name}: {method}");
            }
        }
    });
}
