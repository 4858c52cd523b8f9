//! A request that the server took, and whose answer was lost: a read is repeated, a write is not.

use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::pb::request_op::Request as Op;
use silly_etcd::etcd::pb::response_op::Response;
use silly_etcd::etcd::pb::{
    LeaseGrantRequest, PutRequest, PutResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse,
};
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::join;

use super::support::clock::{idle, run};
use super::support::{Call, Cluster, Fault, ONCE, frames};
use super::{answer, get, outcome, put};

const CLOSED: Fault = ("the socket is closed", |call| call.wire.close());

/// With each of these the client can not know what became of its request.
const LOSSES: [Fault; 13] = [
    CLOSED,
    ("RST_STREAM CANCEL", |call| call.reset(Reason::CANCEL)),
    ("RST_STREAM INTERNAL_ERROR", |call| call.reset(Reason::INTERNAL_ERROR)),
    ("RST_STREAM NO_ERROR", |call| call.reset(Reason::NO_ERROR)),
    ("RST_STREAM ENHANCE_YOUR_CALM", |call| {
        call.reset(Reason::ENHANCE_YOUR_CALM)
    }),
    ("headers, then RST_STREAM CANCEL", |call| {
        call.headers();
        call.reset(Reason::CANCEL);
    }),
    ("headers, then closed", |call| {
        call.headers();
        call.wire.close();
    }),
    ("half a message, then closed", |call| {
        call.body(&b"\0\0\0\0\x09half"[..]);
        call.wire.close();
    }),
    ("GOAWAY that covers the request, then closed", |call| {
        call.wire.goaway(call.stream, Reason::NO_ERROR);
        call.wire.close();
    }),
    ("GOAWAY with an error that covers the request, then closed", |call| {
        call.wire.goaway(call.stream, Reason::INTERNAL_ERROR);
        call.wire.close();
    }),
    ("GOAWAY that covers every request, then closed", |call| {
        call.wire.goaway(u32::MAX >> 1, Reason::REFUSED_STREAM);
        call.wire.close();
    }),
    ("no HTTP/2", |call| call.wire.write("HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("request timed out", |call| {
        call.finish("14", "etcdserver: request timed out")
    }),
];

/// Loses the answer to the first request and answers the others.
async fn lose_the_first(mut call: Call, loss: fn(&mut Call)) {
    if call.number > 0 {
        return answer(call).await;
    }
    call.request::<()>().await;
    loss(&mut call);
    call.abandoned().await;
}

async fn cluster(servers: usize, loss: fn(&mut Call)) -> Cluster {
    Cluster::start(servers, move |call| lose_the_first(call, loss)).await
}

#[test]
fn c2_a_write_is_sent_once() {
    run(async {
        for (name, loss) in LOSSES {
            let etcd = cluster(2, loss).await;
            let client = etcd.client(CallOptions { retry: 5, ..ONCE });
            let error = put(&client).await.unwrap_err();
            assert_eq!(
                (error.code, error.applied),
                (Code::Unavailable, Applied::Maybe),
                "{name}"
            );
            let asked = etcd.addresses[etcd.seen()[0].server];
            assert_eq!(error.endpoint.as_deref(), Some(asked.to_string().as_str()), "{name}");
            put(&client).await.unwrap();
            assert_eq!(etcd.methods(), ["Put", "Put"], "{name}");
        }
    });
}

#[test]
fn a_write_is_sent_again_where_that_is_asked_for() {
    run(async {
        for (name, loss) in LOSSES {
            let etcd = cluster(1, loss).await;
            let client = etcd.client(CallOptions {
                retry: 1,
                retry_unknown: true,
                ..ONCE
            });
            assert_eq!(outcome(put(&client).await), Ok(()), "{name}");
            assert_eq!(etcd.methods(), ["Put", "Put"], "{name}");
        }
    });
}

#[test]
fn c4_a_lost_read_is_repeated() {
    run(async {
        for (name, loss) in LOSSES {
            let etcd = cluster(1, loss).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            assert_eq!(outcome(get(&client).await), Ok(()), "{name}");
            assert_eq!(etcd.methods(), ["Range", "Range"], "{name}");
        }
    });
}

#[test]
fn c1_a_read_that_failed_did_nothing() {
    run(async {
        for (name, loss) in LOSSES {
            let etcd = cluster(1, loss).await;
            let failed = outcome(get(&etcd.client(ONCE)).await);
            assert_eq!(failed, Err((Code::Unavailable, Applied::No)), "{name}");
        }
    });
}

#[test]
fn c2_an_answer_cut_anywhere_is_lost() {
    run(async {
        let body = frames::message(&PutResponse::default());
        let whole = [frames::headers(1), frames::data(1, &body), frames::trailers(1)].concat();
        for length in 0..=whole.len() {
            let part = whole[..length].to_vec();
            let etcd = Cluster::start(1, move |mut call| {
                let part = part.clone();
                async move {
                    call.request::<PutRequest>().await;
                    call.wire.write(part);
                    call.wire.close();
                    call.abandoned().await;
                }
            })
            .await;
            let expected = match length {
                length if length < whole.len() => Err((Code::Unavailable, Applied::Maybe)),
                _ => Ok(()),
            };
            let options = CallOptions { retry: 2, ..ONCE };
            assert_eq!(
                outcome(put(&etcd.client(options)).await),
                expected,
                "after {length} bytes"
            );
            assert_eq!(etcd.methods(), ["Put"]);
        }
    });
}

/// Loses the answer to the first request, then refuses.
async fn lose_then_refuse() -> Cluster {
    Cluster::start(1, |call: Call| async move {
        match call.number {
            0 => lose_the_first(call, CLOSED.1).await,
            _ => refuse(call).await,
        }
    })
    .await
}

async fn refuse(mut call: Call) {
    call.finish("14", "etcdserver: no leader");
}

#[test]
fn c1_a_refusal_does_not_undo_an_earlier_attempt() {
    run(async {
        let etcd = lose_then_refuse().await;
        let client = etcd.client(CallOptions {
            retry: 1,
            retry_unknown: true,
            ..ONCE
        });
        assert_eq!(outcome(put(&client).await), Err((Code::Unavailable, Applied::Maybe)));
        assert_eq!(etcd.methods().len(), 2);
    });
}

#[test]
fn c1_nor_that_of_a_grant() {
    run(async {
        let etcd = lose_then_refuse().await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let granted = client
            .grant(LeaseGrantRequest::default(), false, &client.options())
            .await;
        assert_eq!(outcome(granted), Err((Code::Unavailable, Applied::Maybe)));
        assert_eq!(etcd.methods().len(), 2);
    });
}

#[test]
fn c1_closing_the_client_does_not_either() {
    run(async {
        let etcd = lose_then_refuse().await;
        let client = etcd.client(CallOptions {
            retry: 1,
            retry_sleep: Duration::from_secs(3600),
            retry_unknown: true,
            ..ONCE
        });
        let (written, ()) = join!(put(&client), async {
            // Long enough for the loss to arrive: the pause alone would never end.
            for _ in 0..100 {
                idle().await;
            }
            client.close();
        });
        assert_eq!(outcome(written), Err((Code::Closed, Applied::Maybe)));
    });
}

#[test]
fn a_comparison_that_fails_after_a_lost_attempt_says_nothing_for_certain() {
    let inner = |succeeded| ResponseOp {
        response: Some(Response::ResponseTxn(TxnResponse {
            succeeded,
            ..TxnResponse::default()
        })),
    };
    let outer = move |succeeded, within| TxnResponse {
        succeeded,
        responses: vec![inner(within)],
        ..TxnResponse::default()
    };
    run(async {
        for (answer, known) in [
            (outer(true, true), true),
            (outer(false, true), false),
            (outer(true, false), false),
        ] {
            let reply = answer.clone();
            let etcd = Cluster::start(1, move |mut call: Call| {
                let reply = reply.clone();
                async move {
                    match call.number {
                        0 => lose_the_first(call, CLOSED.1).await,
                        _ => call.reply(&reply),
                    }
                }
            })
            .await;
            let options = CallOptions {
                retry: 1,
                retry_unknown: true,
                ..ONCE
            };
            let put = RequestOp {
                request: Some(Op::RequestPut(PutRequest::default())),
            };
            let request = TxnRequest {
                success: vec![put],
                ..TxnRequest::default()
            };
            let done = outcome(etcd.client(options.clone()).txn(request, &options).await);
            let expected = if known {
                Ok(())
            } else {
                Err((Code::Aborted, Applied::Maybe))
            };
            assert_eq!(done, expected, "{answer:?}");
        }
    });
}
