//! What a server announces is not believed: memory grows with what arrives, and there is a limit to it.

use std::future::poll_fn;

use bytes::Bytes;
use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{
    Event, KeyValue, LeaseKeepAliveRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use silly_etcd::etcd::{Client, Code, Error, Readable};

use super::memory;
use super::support::clock::{run, until};
use super::support::unary::{answer, get};
use super::support::{Call, Cluster, ONCE, frames};

/// What may be set aside for an answer of a few bytes, with what client and server need anyway.
const MEMORY: usize = 4 << 20;

/// The head of a message of almost a gigabyte.
const HUGE: &[u8] = b"\0\x3f\xff\xff\xff";

async fn watch(client: &Client) -> Result<(), Error> {
    let request = WatchCreateRequest {
        key: "key".into(),
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    client.watch(request, &client.options()).await.map(drop)
}

async fn keepalive(client: &Client) -> Result<(), Error> {
    let request = LeaseKeepAliveRequest { id: 7 };
    client.keepalive(request, None, &ONCE).await.map(drop)
}

/// A server that answers everything with these bytes and then falls silent.
async fn answering(body: impl Into<Bytes>) -> Cluster {
    let body = body.into();
    Cluster::start(1, move |mut call: Call| {
        let body = body.clone();
        async move {
            call.body(body);
            call.abandoned().await;
        }
    })
    .await
}

#[test]
fn five_bytes_set_nothing_aside() {
    run(async {
        for rest in [0, 1, 100] {
            let etcd = answering([HUGE, &vec![0; rest]].concat()).await;
            let measured = memory::measure();
            let client = etcd.client(ONCE);
            assert_eq!(until(get(&client)).await.unwrap_err().code, Code::DeadlineExceeded);
            assert_eq!(until(watch(&client)).await.unwrap_err().code, Code::DeadlineExceeded);
            assert!(measured.peak() <= MEMORY, "{}", measured.peak());
        }
    });
}

#[test]
fn a_renewal_is_short() {
    run(async {
        for (length, code) in [
            (64 << 10, Code::DeadlineExceeded),
            ((64 << 10) + 1, Code::ResourceExhausted),
        ] {
            let head = [&[0], &u32::to_be_bytes(length)[..]].concat();
            let etcd = answering(head).await;
            let error = until(keepalive(&etcd.client(ONCE))).await.unwrap_err();
            assert_eq!(error.code, code, "{error}");
        }
        let etcd = answering(HUGE).await;
        let error = until(keepalive(&etcd.client(ONCE))).await.unwrap_err();
        assert_eq!(error.message, "a response of 1073741823 bytes is larger than accepted");
    });
}

#[test]
fn a_million_empty_events_are_refused_before_they_are_kept() {
    run(async {
        let message = b"\x5a\0".repeat(1_000_000);
        let head = [&[0], &u32::to_be_bytes(2_000_000)[..]].concat();
        let etcd = answering([head, message].concat()).await;
        let client = etcd.client(ONCE);
        let measured = memory::measure();
        let error = until(watch(&client)).await.unwrap_err();
        assert_eq!(error.code, Code::ResourceExhausted, "{error}");
        assert!(measured.peak() <= 8 * 2_000_000, "{}", measured.peak());
    });
}

/// Sends a body in frames of the usual size, as the client makes room for them.
async fn send(mut call: Call, mut body: Bytes) {
    const FRAME: usize = 16 << 10;
    let answer = call.headers();
    while !body.is_empty() {
        answer.reserve_capacity(FRAME.min(body.len()));
        let Some(Ok(room)) = poll_fn(|cx| answer.poll_capacity(cx)).await else {
            return;
        };
        answer.send_data(body.split_to(room.min(body.len())), false).unwrap();
    }
    call.finish("0", "");
}

#[test]
fn a_large_message_takes_memory_in_proportion() {
    run(async {
        const SIZE: usize = 20 << 20;
        let kv = KeyValue {
            value: vec![b'v'; SIZE].into(),
            ..KeyValue::default()
        };
        let body = Bytes::from(frames::message(&RangeResponse {
            kvs: vec![kv],
            ..RangeResponse::default()
        }));
        let etcd = Cluster::start(1, move |call| send(call, body.clone())).await;
        let client = etcd.client(ONCE);
        let measured = memory::measure();
        let read = get(&client).await.unwrap();
        assert_eq!(read.kvs[0].value.len(), SIZE);
        assert!(measured.peak() <= 3 * SIZE, "{}", measured.peak());
    });
}

#[test]
fn so_do_the_events_of_a_watch() {
    run(async {
        const SIZE: usize = 20 << 20;
        let etcd = Cluster::start(1, |mut call: Call| async move {
            if call.method != "Watch" {
                return;
            }
            let request = call.request::<WatchRequest>().await.unwrap().request_union;
            let Some(RequestUnion::CreateRequest(create)) = request else {
                panic!("not a create: {request:?}");
            };
            let watch_id = create.watch_id;
            call.send(&WatchResponse {
                watch_id,
                created: true,
                ..WatchResponse::default()
            });
            let kv = KeyValue {
                key: "key".into(),
                value: vec![b'v'; SIZE].into(),
                mod_revision: 5,
                ..KeyValue::default()
            };
            let event = Event {
                kv: Some(kv),
                ..Event::default()
            };
            let message = WatchResponse {
                watch_id,
                events: vec![event],
                ..WatchResponse::default()
            };
            send(call, frames::message(&message).into()).await;
        })
        .await;
        let client = etcd.client(ONCE);
        let request = WatchCreateRequest {
            key: "key".into(),
            start_revision: 1,
            ..WatchCreateRequest::default()
        };
        let watcher = client.watch(request, &ONCE).await.unwrap();
        let read = watcher.read().await.unwrap();
        assert_eq!(read.events[0].kv.as_ref().unwrap().value.len(), SIZE);
    });
}

#[test]
fn a_page_of_megabytes_is_not_read() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            if call.number > 0 {
                return answer(call).await;
            }
            let page = call.page(503);
            let line = Bytes::from_static(&[b'.'; 16 << 10]);
            loop {
                page.reserve_capacity(line.len());
                let Some(Ok(room)) = poll_fn(|cx| page.poll_capacity(cx)).await else {
                    return;
                };
                if page.send_data(line.slice(..room.min(line.len())), false).is_err() {
                    return;
                }
            }
        })
        .await;
        let client = etcd.client(ONCE);
        let measured = memory::measure();
        let error = get(&client).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert!(error.message.len() <= 300, "{error}");
        assert!(measured.peak() <= MEMORY, "{}", measured.peak());
        get(&client).await.unwrap();
        let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
        assert_eq!(streams, [1, 3]);
    });
}
