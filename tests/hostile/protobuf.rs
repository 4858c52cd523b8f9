//! H3: messages that are no protobuf, or protobuf that no etcd sends. Each is refused or read as what protobuf says,
//! without deep recursion, and in memory that is bounded by the message's own size.

use silly_etcd::etcd::pb::response_op::Response;
use silly_etcd::etcd::pb::{RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest};
use silly_etcd::etcd::{Applied, CallOptions, Code, Error};

use super::support::clock::run;
use super::support::unary::{answer, get, outcome, put};
use super::support::{Call, Cluster, ONCE};
use super::{assert_readable, memory};

/// A server that answers everything with this message.
async fn answering(message: &[u8]) -> Cluster {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    Cluster::start(1, move |mut call: Call| {
        let body = body.clone();
        async move {
            call.request::<()>().await;
            call.body(body);
            call.finish("0", "");
            call.abandoned().await;
        }
    })
    .await
}

/// Reads from a server that answers so.
async fn read(message: &[u8]) -> Result<RangeResponse, Error> {
    get(&answering(message).await.client(ONCE)).await
}

/// The same with a txn.
async fn txn(message: &[u8]) -> Result<TxnResponse, Error> {
    let etcd = answering(message).await;
    etcd.client(ONCE).txn(TxnRequest::default(), &ONCE).await
}

#[test]
fn h3_what_is_no_protobuf_is_an_error() {
    run(async {
        for message in [
            &b"\x00"[..],
            b"\x07\x00",
            b"\x26\x00",
            b"\x27\x00",
            b"\x20",
            b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x25\0\0\0\0",
            b"\x12\x05abc",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x12\xff\xff\xff\xff\x0f",
            b"\x12\x03\x0a\x7fa",
            b"\x0b",
            b"\x0c",
            b"\x7b\x7c\x7b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let etcd = answering(message).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            let error = get(&client).await.unwrap_err();
            assert_eq!(
                (error.code, error.applied),
                (Code::Internal, Applied::No),
                "{message:?}"
            );
            assert_readable(&format!("{message:?}"), &error);
        }
    });
}

#[test]
fn h3_a_write_with_such_an_answer_may_have_happened() {
    run(async {
        let written = outcome(put(&answering(b"\x0a\x05").await.client(ONCE)).await);
        assert_eq!(written, Err((Code::Internal, Applied::Maybe)));
    });
}

#[test]
fn h3_unknown_fields_are_left_out() {
    run(async {
        for unknown in [
            &b"\xc0\x3e\x01"[..],
            b"\xc2\x3e\x03abc",
            b"\xc5\x3e\0\0\0\0",
            b"\xc1\x3e\0\0\0\0\0\0\0\0",
            b"\x7b\x08\x01\x7c",
        ] {
            let message = [b"\x20\x07", unknown, b"\x18\x02"].concat();
            let expected = RangeResponse {
                count: 7,
                more: true,
                ..RangeResponse::default()
            };
            assert_eq!(read(&message).await, Ok(expected), "{unknown:?}");
        }
    });
}

#[test]
fn h3_the_last_of_several_values_counts() {
    run(async {
        assert_eq!(read(b"\x20\x07\x20\x08").await.unwrap().count, 8);
        let header = read(b"\x0a\x02\x18\x07\x0a\x02\x20\x08").await.unwrap().header.unwrap();
        assert_eq!((header.revision, header.raft_term), (7, 8));
        // One operation with the answer to a read and to a put.
        let responses = txn(b"\x1a\x04\x0a\x00\x12\x00").await.unwrap().responses;
        assert!(matches!(responses[0].response, Some(Response::ResponsePut(_))));
    });
}

#[test]
fn h3_numbers_are_what_they_are() {
    run(async {
        for (count, varint) in [
            (-1, &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..]),
            (i64::MIN, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
            (i64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ] {
            let message = [b"\x0a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20", varint].concat();
            let answer = read(&message).await.unwrap();
            assert_eq!((answer.count, answer.header.unwrap().revision), (count, -1));
        }
    });
}

#[test]
fn h3_what_is_missing_is_empty() {
    run(async {
        assert_eq!(read(b"").await, Ok(RangeResponse::default()));
        let responses = txn(b"\x1a\x00").await.unwrap().responses;
        assert_eq!(responses[0].response, None);
    });
}

#[test]
fn h3_a_watch_from_now_on_needs_a_revision() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let watched = etcd.client(ONCE).watch(WatchCreateRequest::default(), &ONCE).await;
        assert_eq!(watched.err().map(|error| error.code), Some(Code::Protocol));
    });
}

/// Txns in each other.
fn nested(levels: usize) -> Vec<u8> {
    let mut backwards = Vec::new();
    for tag in [0x22, 0x1a].repeat(levels) {
        let length = backwards.len();
        let groups = (length.max(1).ilog2() / 7 + 1) as usize;
        for group in (0..groups).rev() {
            let more = if group + 1 < groups { 0x80 } else { 0 };
            backwards.push((length >> (7 * group)) as u8 & 0x7f | more);
        }
        backwards.push(tag);
    }
    backwards.reverse();
    backwards
}

#[test]
fn h3_depth_is_bounded() {
    run(async {
        let mut level = txn(&nested(20)).await.unwrap();
        for _ in 0..20 {
            level = match level.responses.pop().unwrap().response.unwrap() {
                Response::ResponseTxn(inner) => inner,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(level, TxnResponse::default());
        let groups = |depth| b"\x7b".repeat(depth);
        for message in [nested(100), nested(200_000), groups(101), groups(1_000_000)] {
            let measured = memory::measure();
            let error = txn(&message).await.unwrap_err();
            assert_eq!(error.code, Code::Internal);
            assert!(
                measured.peak() <= 16 * message.len().max(1 << 16),
                "{}",
                measured.peak()
            );
        }
    });
}

/// What the smallest pair that an etcd can send becomes has about ten times its size.
#[test]
fn h3_many_small_pairs_take_memory_in_proportion() {
    run(async {
        let pair = b"\x12\x09\x0a\x01k\x10\x02\x18\x02\x20\x01";
        let message = pair.repeat(200_000);
        let measured = memory::measure();
        assert_eq!(read(&message).await.unwrap().kvs.len(), 200_000);
        assert!(measured.peak() <= 16 * message.len(), "{}", measured.peak());
    });
}

/// A pair of nothing is two bytes, and a hundred where it is kept. No server sends that many.
#[test]
fn a_million_empty_values_are_refused_before_they_are_kept() {
    run(async {
        let empty = |tag| [tag, 0].repeat(1_000_000);
        // A response to a get in one to a txn, its length in three bytes of seven bits each.
        let inner = [&[0x0a, 0x80, 0x89, 0x7a][..], &empty(0x12)].concat();
        let nested = [&[0x1a, 0x84, 0x89, 0x7a][..], &inner].concat();
        for (name, message, in_txn) in [
            ("get", empty(0x12), false),
            ("txn", empty(0x1a), true),
            ("get in a txn", nested, true),
        ] {
            let measured = memory::measure();
            let error = match in_txn {
                false => read(&message).await.err(),
                true => txn(&message).await.err(),
            };
            assert_eq!(error.map(|error| error.code), Some(Code::ResourceExhausted), "{name}");
            assert!(measured.peak() <= 8 * message.len(), "{name}: {}", measured.peak());
        }
    });
}
