//! Answers that break the rules of gRPC: each is a definite error or result, and the client lives on.

use h2::Reason;
use http::HeaderMap;
use silly_etcd::etcd::pb::RangeResponse;
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::run;
use super::support::unary::{get, put};
use super::support::{Call, Cluster, ONCE};
use super::{assert_readable, break_the_first};

/// A broken answer, and the code that it becomes.
type Broken = (&'static str, Code, fn(&mut Call));

const BROKEN: [Broken; 19] = [
    ("no message", Code::Internal, |call| {
        call.headers();
        call.finish("0", "");
    }),
    ("no message and no headers", Code::Internal, |call| call.finish("0", "")),
    ("no protobuf", Code::Internal, |call| {
        call.body(&b"\0\0\0\0\x04\xff\xff\xff\xff"[..]);
        call.finish("0", "");
    }),
    ("a field of the wrong type", Code::Internal, |call| {
        call.body(&b"\0\0\0\0\x02\x08\x01"[..]);
        call.finish("0", "");
    }),
    ("half a message", Code::Internal, |call| {
        call.body(&b"\0\0\0\0\x09half"[..]);
        call.finish("0", "");
    }),
    ("more than four gigabytes announced", Code::ResourceExhausted, |call| {
        call.body(&b"\0\xff\xff\xff\xffhalf"[..]);
        call.finish("0", "");
    }),
    ("compressed without being asked", Code::Internal, |call| {
        call.body(&b"\x01\0\0\0\0"[..]);
        call.finish("0", "");
    }),
    ("an unknown flag", Code::Internal, |call| {
        call.body(&b"\x07\0\0\0\0"[..]);
        call.finish("0", "");
    }),
    ("no status", Code::Unavailable, |call| {
        call.body(&b"\0\0\0\0\0"[..]);
        call.trailers(HeaderMap::new());
    }),
    ("no trailers", Code::Unavailable, |call| {
        let body = bytes::Bytes::from_static(b"\0\0\0\0\0");
        call.headers().send_data(body, true).unwrap();
    }),
    ("an unknown status", Code::Unknown, |call| call.finish("17", "why")),
    ("a negative status", Code::Unknown, |call| call.finish("-1", "why")),
    ("a status in words", Code::Unknown, |call| call.finish("OK", "why")),
    ("an empty status", Code::Unknown, |call| call.finish("", "why")),
    ("a text that is not UTF-8", Code::Unknown, |call| {
        call.finish("14", "%ff%fe")
    }),
    ("HTTP 503 in HTML", Code::Unavailable, |call| {
        call.respond(503).send_data("<html></html>".into(), true).unwrap();
    }),
    ("HTTP 502", Code::Unavailable, |call| {
        call.respond(502).send_data("".into(), true).unwrap();
    }),
    ("HTTP 504 that is cut off", Code::Unavailable, |call| {
        call.respond(504).send_reset(Reason::INTERNAL_ERROR);
    }),
    ("headers larger than allowed", Code::Unavailable, |call| {
        call.finish("0", &"x".repeat(200_000));
    }),
];

#[test]
fn h2_a_write_may_have_happened() {
    run(async {
        for (name, code, broken) in BROKEN {
            let etcd = break_the_first(broken).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            let error = put(&client).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, Applied::Maybe), "{name}: {error}");
            assert_readable(name, &error);
            put(&client).await.unwrap();
            assert_eq!(etcd.methods().len(), 2, "{name}");
        }
    });
}

#[test]
fn h2_a_read_did_nothing() {
    run(async {
        for (name, code, broken) in BROKEN {
            let etcd = break_the_first(broken).await;
            let client = etcd.client(ONCE);
            let error = get(&client).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, Applied::No), "{name}: {error}");
            get(&client).await.unwrap();
        }
    });
}

#[test]
fn h2_details_that_are_not_base64_are_an_error() {
    run(async {
        let etcd = break_the_first(|call| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "14".parse().unwrap());
            trailers.insert("grpc-status-details-bin", "?".parse().unwrap());
            call.trailers(trailers);
        })
        .await;
        let error = put(&etcd.client(ONCE)).await.unwrap_err();
        assert_eq!(error.applied, Applied::Maybe);
    });
}

#[test]
fn h2_the_first_of_two_messages_is_the_answer() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            for count in 1..=2 {
                call.send(&RangeResponse {
                    count,
                    ..RangeResponse::default()
                });
            }
            call.finish("0", "");
        })
        .await;
        assert_eq!(get(&etcd.client(ONCE)).await.unwrap().count, 1);
    });
}

#[test]
fn h2_a_text_is_one_short_line() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            call.finish("3", &format!("a%0Ab%00c%1B[31m{}", "x".repeat(8000)));
        })
        .await;
        let error = put(&etcd.client(ONCE)).await.unwrap_err();
        assert!(error.message.starts_with("a b c [31mxxx"), "{error}");
        assert_readable("", &error);
    });
}
