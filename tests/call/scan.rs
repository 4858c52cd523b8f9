//! Scans of a server that streams ranges, does not, or breaks off: all keys come, once, in pages as long as was asked.

use bytes::Bytes;
use silly_etcd::etcd::pb::{KeyValue, RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader};
use silly_etcd::etcd::{Client, Readable, ScanRequest};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};

const REVISION: i64 = 7;
const KEYS: usize = 1000;

/// What becomes of a stream after its first pieces.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stream {
    Whole,
    Unknown,
    /// It ends in good order, without the piece that says so.
    Short,
    Reset,
    Failed,
    Silent,
    /// A piece with nothing in it.
    Empty,
}

fn kv(number: usize) -> KeyValue {
    KeyValue {
        key: format!("{number:04}").into(),
        ..KeyValue::default()
    }
}

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision: REVISION,
        ..ResponseHeader::default()
    })
}

/// The keys from `first` on, at most so many.
fn keys(first: &Bytes, limit: usize) -> (Vec<KeyValue>, bool) {
    let rest: Vec<_> = (0..KEYS).map(kv).filter(|kv| kv.key >= first).collect();
    let more = rest.len() > limit;
    (rest.into_iter().take(limit).collect(), more)
}

async fn serve(mut call: Call, stream: Stream) {
    let request = call.request::<RangeRequest>().await.unwrap();
    if call.method == "Range" {
        let (kvs, more) = keys(&request.key, request.limit as usize);
        return call.reply(&RangeResponse {
            header: header(),
            kvs,
            more,
            count: KEYS as i64,
        });
    }
    assert_eq!((request.revision, request.serializable), (REVISION, true));
    if stream == Stream::Unknown {
        return call.finish("12", "unknown method RangeStream for service etcdserverpb.KV");
    }
    let limit = if stream == Stream::Whole {
        request.limit as usize
    } else {
        300
    };
    let (kvs, _) = keys(&request.key, limit);
    for kvs in kvs.chunks(150) {
        let kvs = kvs.to_vec();
        let piece = RangeResponse {
            kvs,
            ..RangeResponse::default()
        };
        call.send(&RangeStreamResponse {
            range_response: Some(piece),
        });
    }
    match stream {
        Stream::Whole => call.reply(&RangeStreamResponse {
            range_response: Some(RangeResponse {
                header: header(),
                ..RangeResponse::default()
            }),
        }),
        Stream::Short => call.finish("0", ""),
        Stream::Reset => call.reset(h2::Reason::INTERNAL_ERROR),
        Stream::Failed => call.finish("14", "etcdserver: no leader"),
        Stream::Empty => {
            call.send(&RangeStreamResponse {
                range_response: Some(RangeResponse::default()),
            });
            call.abandoned().await;
        }
        Stream::Silent | Stream::Unknown => {
            call.abandoned().await;
        }
    }
}

/// The keys of a scan; no page has more than `page`, and all have a header.
async fn scan(client: &Client, page: i64, limit: i64) -> Vec<Bytes> {
    let request = ScanRequest {
        range: RangeRequest {
            key: "0".into(),
            range_end: "1".into(),
            limit,
            ..RangeRequest::default()
        },
        page,
    };
    let scan = client.scan(request, &ONCE).await.unwrap();
    let mut keys = Vec::new();
    loop {
        until(scan.ready()).await;
        let page_of_it = scan.take().unwrap().unwrap();
        assert!(page_of_it.kvs.len() as i64 <= page);
        assert_eq!((page_of_it.header, page_of_it.count), (header(), KEYS as i64));
        keys.extend(page_of_it.kvs.into_iter().map(|kv| kv.key));
        if !page_of_it.more {
            return keys;
        }
    }
}

async fn cluster(stream: Stream) -> Cluster {
    Cluster::start(1, move |call| serve(call, stream)).await
}

fn streams(etcd: &Cluster) -> usize {
    etcd.seen().iter().filter(|seen| seen.method == "RangeStream").count()
}

#[test]
fn all_keys_come_once_whatever_becomes_of_the_stream() {
    let all: Vec<_> = (0..KEYS).map(|number| kv(number).key).collect();
    run(async {
        for stream in [
            Stream::Whole,
            Stream::Unknown,
            Stream::Short,
            Stream::Reset,
            Stream::Failed,
            Stream::Silent,
            Stream::Empty,
        ] {
            let etcd = cluster(stream).await;
            let client = etcd.client(ONCE);
            assert_eq!(scan(&client, 70, 0).await, all, "{stream:?}");
            assert_eq!(streams(&etcd), 1, "{stream:?}");
            assert_eq!(scan(&client, 1000, 500).await, all[..500], "{stream:?}");
            // Who does not know it is not asked again.
            assert_eq!(
                streams(&etcd),
                if stream == Stream::Unknown { 1 } else { 2 },
                "{stream:?}"
            );
        }
    });
}

#[test]
fn what_is_streamed_takes_two_calls_more() {
    run(async {
        let etcd = cluster(Stream::Whole).await;
        scan(&etcd.client(ONCE), 1000, 0).await;
        let methods: Vec<_> = etcd.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, ["Range", "Range", "RangeStream"]);
    });
}
