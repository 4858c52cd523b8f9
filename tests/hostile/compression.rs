//! H5: no call asks for compression, and what is compressed all the same is not read.

use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::run;
use super::support::unary::{answer, get, outcome, put};
use super::support::{Cluster, ONCE};
use super::{assert_readable, break_the_first};

/// `gzip` of nothing.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";

fn message(flag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], body].concat()
}

#[test]
fn h5_no_call_asks_for_compression() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let client = etcd.client(ONCE);
        put(&client).await.unwrap();
        get(&client).await.unwrap();
        let request = RangeRequest {
            serializable: true,
            ..RangeRequest::default()
        };
        client.get(request, &ONCE).await.unwrap();
        for seen in etcd.seen() {
            for header in [
                "accept-encoding",
                "grpc-accept-encoding",
                "content-encoding",
                "grpc-encoding",
            ] {
                assert!(!seen.metadata.contains_key(header), "{header}");
            }
        }
    });
}

#[test]
fn h5_a_compressed_answer_is_an_error_and_the_write_may_have_happened() {
    run(async {
        for encoding in ["gzip", "deflate", "zstd", "snappy", "what"] {
            for flag in [0, 1] {
                let etcd = break_the_first(move |call| {
                    call.header("grpc-encoding", encoding);
                    call.body(message(flag, GZIP));
                    call.finish("0", "");
                })
                .await;
                let client = etcd.client(CallOptions { retry: 1, ..ONCE });
                let error = put(&client).await.unwrap_err();
                assert_eq!(error.applied, Applied::Maybe, "{encoding}: {error}");
                assert_eq!(error.code, Code::Protocol, "{encoding}: {error}");
                assert_readable(encoding, &error);
                assert_eq!(outcome(put(&client).await), Ok(()));
                assert_eq!(etcd.methods(), ["Put", "Put"]);
            }
        }
    });
}

#[test]
fn h5_no_encoding_at_all_is_fine() {
    run(async {
        let etcd = break_the_first(|call| {
            call.header("grpc-encoding", "identity");
            call.body(message(0, &[]));
            call.finish("0", "");
        })
        .await;
        assert_eq!(outcome(put(&etcd.client(ONCE)).await), Ok(()));
    });
}
