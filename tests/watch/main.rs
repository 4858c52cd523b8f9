//! Watches against a scripted etcd: one stream carries them all, and however it breaks, each goes on where it stood.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod create;
mod idle;
mod line;
mod restored;
mod resume;
mod share;
mod silent;
mod slow;

use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{
    Event, KeyValue, RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};
use silly_etcd::etcd::{Client, Error, Readable, Watcher};
use support::{Call, Cluster};
use tokio::join;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Where the watches of these tests start.
const START: i64 = 10;

/// Servers whose streams the test itself answers. What a client asks when it resumes, whether the store is still the
/// same, is affirmed.
async fn cluster(servers: usize) -> (Cluster, UnboundedReceiver<Call>) {
    let (streams, opened) = unbounded_channel();
    let script = move |mut call: Call| {
        let streams = streams.clone();
        async move {
            if call.method != "Range" {
                return streams.send(call).unwrap_or_default();
            }
            affirm(&mut call).await;
        }
    };
    (Cluster::start(servers, script).await, opened)
}

/// Answers as a store that has a witness, and has gone on since.
async fn affirm(call: &mut Call) {
    let request = call.request::<RangeRequest>().await.unwrap();
    call.reply(&RangeResponse {
        header: Some(header(1_000_000)),
        kvs: vec![KeyValue {
            key: request.key,
            mod_revision: request.revision,
            ..KeyValue::default()
        }],
        ..RangeResponse::default()
    });
}

/// How many streams of watches were opened.
fn streams(etcd: &Cluster) -> usize {
    etcd.methods().iter().filter(|method| *method == "Watch").count()
}

async fn watch(client: &Client) -> Result<Watcher, Error> {
    let request = WatchCreateRequest {
        key: "key".into(),
        start_revision: START,
        ..WatchCreateRequest::default()
    };
    client.watch(request, &client.options()).await
}

/// A watch that the server has confirmed, its stream, and its id there.
async fn watching(client: &Client, calls: &mut UnboundedReceiver<Call>) -> (Watcher, Call, i64) {
    let (watcher, (stream, id)) = join!(watch(client), async {
        let mut stream = calls.recv().await.unwrap();
        let id = confirm(&mut stream).await;
        (stream, id)
    });
    (watcher.unwrap(), stream, id)
}

async fn request(stream: &mut Call) -> RequestUnion {
    let request = stream.request::<WatchRequest>().await;
    request.unwrap().request_union.unwrap()
}

/// The next request, which is for a watch.
async fn create(stream: &mut Call) -> WatchCreateRequest {
    match request(stream).await {
        RequestUnion::CreateRequest(create) => create,
        other => panic!("not a create: {other:?}"),
    }
}

/// The next request, which is for the end of a watch.
async fn cancel(stream: &mut Call) -> i64 {
    match request(stream).await {
        RequestUnion::CancelRequest(cancel) => cancel.watch_id,
        other => panic!("not a cancel: {other:?}"),
    }
}

/// Confirms the watch that is asked for next, and returns its id.
async fn confirm(stream: &mut Call) -> i64 {
    let id = create(stream).await.watch_id;
    stream.send(&created(id));
    id
}

fn created(watch_id: i64) -> WatchResponse {
    WatchResponse {
        watch_id,
        created: true,
        ..WatchResponse::default()
    }
}

fn denied(watch_id: i64) -> WatchResponse {
    WatchResponse {
        canceled: true,
        cancel_reason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied".to_owned(),
        ..created(watch_id)
    }
}

/// One event for each of these revisions.
fn events(watch_id: i64, revisions: &[i64]) -> WatchResponse {
    let event = |&mod_revision: &i64| Event {
        kv: Some(KeyValue {
            key: "key".into(),
            mod_revision,
            ..KeyValue::default()
        }),
        ..Event::default()
    };
    WatchResponse {
        watch_id,
        header: revisions.last().map(|&revision| header(revision)),
        events: revisions.iter().map(event).collect(),
        ..WatchResponse::default()
    }
}

fn header(revision: i64) -> ResponseHeader {
    ResponseHeader {
        revision,
        ..ResponseHeader::default()
    }
}

fn revisions(response: &WatchResponse) -> Vec<i64> {
    let revision = |event: &Event| event.kv.as_ref().unwrap().mod_revision;
    response.events.iter().map(revision).collect()
}

/// The revisions of the next events.
async fn read(watcher: &Watcher) -> Vec<i64> {
    revisions(&watcher.read().await.unwrap())
}
