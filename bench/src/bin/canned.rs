//! The canned server: answers the calls that the cases make, at once and without storing anything, so that what a
//! case costs is the client's own.
//!
//! In: `bench-canned EVENTS`, how many events the history under `REPLAY` has. Out: its address on stdout; it serves
//! until it is killed. Everything runs on one thread, so that the client has the other cores for itself.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use bench::data;
use pb::etcdserverpb::{self as rpc, request_op, response_op, watch_request::RequestUnion};
use pb::mvccpb::{Event, KeyValue};

#[allow(clippy::all, unused_qualifications)]
mod pb {
    pub mod authpb {
        tonic::include_proto!("authpb");
    }
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// etcd sends at most so many revisions in one response.
const BATCH: i64 = 1000;
/// Renewals are counted in slots of this length.
const SLOT: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Canned(Arc<Shared>);

struct Shared {
    /// The length of the history, and then one more for each put.
    revision: AtomicI64,
    history: i64,
    next_lease: AtomicI64,
    /// Of the lease that was granted last.
    ttl: AtomicI64,
    one: rpc::RangeResponse,
    many: rpc::RangeResponse,
    large: rpc::RangeResponse,
    parked: watch::Sender<i64>,
    /// Who watches a key: the stream and the watch's id in it.
    watchers: Mutex<HashMap<Bytes, (mpsc::Sender<Result<rpc::WatchResponse, Status>>, i64)>>,
    renewals: Mutex<Renewals>,
}

/// Lease renewals since they were asked for last.
struct Renewals {
    total: i64,
    peak: i64,
    slot: i64,
    slot_end: Instant,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let events = std::env::args().nth(1).context("usage: bench-canned EVENTS")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let canned = Canned(Arc::new(Shared::new(events.parse()?)));
    Server::builder()
        // As etcd has it: no limit.
        .max_concurrent_streams(u32::MAX)
        .add_service(rpc::kv_server::KvServer::new(canned.clone()))
        .add_service(rpc::watch_server::WatchServer::new(canned.clone()))
        .add_service(rpc::lease_server::LeaseServer::new(canned))
        .serve_with_incoming(TcpListenerStream::new(listener).map(|socket| {
            // Nagle's algorithm would hold small answers back.
            socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket))
        }))
        .await?;
    Ok(())
}

impl Shared {
    fn new(history: i64) -> Self {
        let range = |kvs: Vec<KeyValue>| rpc::RangeResponse {
            header: Some(header(history)),
            count: kvs.len() as i64,
            kvs,
            more: false,
        };
        let many = (0..data::MANY_KEYS).map(|number| kv(data::key(data::MANY, number), data::SMALL, 1));
        Self {
            revision: AtomicI64::new(history),
            history,
            next_lease: AtomicI64::new(1),
            ttl: AtomicI64::new(0),
            one: range(vec![kv(data::ONE, data::SMALL, 1)]),
            many: range(many.collect()),
            large: range(vec![kv(data::LARGE, data::LARGE_SIZE, 1)]),
            parked: watch::Sender::new(0),
            watchers: Mutex::default(),
            renewals: Mutex::new(Renewals {
                total: 0,
                peak: 0,
                slot: 0,
                slot_end: Instant::now(),
            }),
        }
    }

    fn header(&self) -> Option<rpc::ResponseHeader> {
        Some(header(self.revision.load(Relaxed)))
    }

    async fn range(&self, request: &rpc::RangeRequest) -> rpc::RangeResponse {
        const ONE: &[u8] = data::ONE.as_bytes();
        const MANY: &[u8] = data::MANY.as_bytes();
        const LARGE: &[u8] = data::LARGE.as_bytes();
        const PARKED: &[u8] = data::PARKED.as_bytes();
        const ALL_PARKED: &[u8] = data::ALL_PARKED.as_bytes();
        const RENEWALS: &[u8] = data::RENEWALS.as_bytes();
        match &request.key[..] {
            ONE => self.one.clone(),
            MANY => self.many.clone(),
            LARGE => self.large.clone(),
            PARKED => {
                let _parked = Parked::new(&self.parked);
                std::future::pending().await
            }
            ALL_PARKED => {
                let enough = |count: &i64| *count >= request.limit;
                let _ = self.parked.subscribe().wait_for(enough).await;
                self.empty()
            }
            RENEWALS => self.take_renewals(),
            _ => self.empty(),
        }
    }

    fn empty(&self) -> rpc::RangeResponse {
        rpc::RangeResponse {
            header: self.header(),
            ..Default::default()
        }
    }

    /// A put is an event for who watches its key.
    async fn put(&self, request: rpc::PutRequest) -> rpc::PutResponse {
        let revision = self.revision.fetch_add(1, Relaxed) + 1;
        let watcher = locked(&self.watchers).get(&request.key).cloned();
        if let Some((stream, watch_id)) = watcher {
            let event = Event {
                kv: Some(KeyValue {
                    key: request.key,
                    value: request.value,
                    create_revision: 1,
                    mod_revision: revision,
                    version: revision,
                    lease: 0,
                }),
                ..Default::default()
            };
            let response = rpc::WatchResponse {
                header: Some(header(revision)),
                watch_id,
                events: vec![event],
                ..Default::default()
            };
            let _ = stream.send(Ok(response)).await;
        }
        rpc::PutResponse {
            header: Some(header(revision)),
            prev_kv: None,
        }
    }

    fn delete(&self) -> rpc::DeleteRangeResponse {
        rpc::DeleteRangeResponse {
            header: self.header(),
            ..Default::default()
        }
    }

    async fn replay(&self, stream: &mpsc::Sender<Result<rpc::WatchResponse, Status>>, watch_id: i64) {
        for first in (1..=self.history).step_by(BATCH as usize) {
            let revisions = first..=self.history.min(first + BATCH - 1);
            let event = |revision: i64| Event {
                kv: Some(kv(data::key(data::REPLAY, revision as usize), data::SMALL, revision)),
                ..Default::default()
            };
            let response = rpc::WatchResponse {
                header: self.header(),
                watch_id,
                events: revisions.map(event).collect(),
                ..Default::default()
            };
            if stream.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }

    /// Serves the requests of one watch stream.
    async fn watch(
        &self,
        mut requests: Streaming<rpc::WatchRequest>,
        stream: mpsc::Sender<Result<rpc::WatchResponse, Status>>,
    ) {
        let mut watch_id = 0;
        while let Ok(Some(request)) = requests.message().await {
            let answer = |watch_id: i64| rpc::WatchResponse {
                header: self.header(),
                watch_id,
                ..Default::default()
            };
            match request.request_union {
                Some(RequestUnion::CreateRequest(create)) => {
                    watch_id = if create.watch_id > 0 { create.watch_id } else { watch_id + 1 };
                    let created = rpc::WatchResponse {
                        created: true,
                        ..answer(watch_id)
                    };
                    let _ = stream.send(Ok(created)).await;
                    if create.key == data::REPLAY {
                        self.replay(&stream, watch_id).await;
                    } else {
                        locked(&self.watchers).insert(create.key, (stream.clone(), watch_id));
                    }
                }
                Some(RequestUnion::CancelRequest(cancel)) => {
                    let canceled = rpc::WatchResponse {
                        canceled: true,
                        ..answer(cancel.watch_id)
                    };
                    let _ = stream.send(Ok(canceled)).await;
                }
                Some(RequestUnion::ProgressRequest(_)) => {
                    let _ = stream.send(Ok(answer(-1))).await;
                }
                None => {}
            }
        }
        locked(&self.watchers).retain(|_, (other, _)| !other.same_channel(&stream));
    }

    fn renewed(&self) {
        let mut renewals = locked(&self.renewals);
        let now = Instant::now();
        if now >= renewals.slot_end {
            renewals.slot = 0;
            renewals.slot_end = now + SLOT;
        }
        renewals.slot += 1;
        renewals.total += 1;
        renewals.peak = renewals.peak.max(renewals.slot);
    }

    fn take_renewals(&self) -> rpc::RangeResponse {
        let mut renewals = locked(&self.renewals);
        let answer = rpc::RangeResponse {
            count: renewals.total,
            kvs: vec![KeyValue {
                version: renewals.peak,
                ..Default::default()
            }],
            ..self.empty()
        };
        (renewals.total, renewals.peak, renewals.slot) = (0, 0, 0);
        answer
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn header(revision: i64) -> rpc::ResponseHeader {
    rpc::ResponseHeader {
        cluster_id: 1,
        member_id: 1,
        revision,
        raft_term: 2,
    }
}

fn kv(key: impl Into<String>, size: usize, revision: i64) -> KeyValue {
    KeyValue {
        key: key.into().into(),
        value: data::value(size).into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    }
}

/// Counts a call that is never answered, for as long as its client waits for it.
struct Parked<'a>(&'a watch::Sender<i64>);

impl<'a> Parked<'a> {
    fn new(count: &'a watch::Sender<i64>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[tonic::async_trait]
impl rpc::kv_server::Kv for Canned {
    type RangeStreamStream = Answers<rpc::RangeStreamResponse>;

    async fn range(&self, request: Request<rpc::RangeRequest>) -> Answer<rpc::RangeResponse> {
        Ok(Response::new(self.0.range(request.get_ref()).await))
    }

    async fn put(&self, request: Request<rpc::PutRequest>) -> Answer<rpc::PutResponse> {
        Ok(Response::new(self.0.put(request.into_inner()).await))
    }

    async fn delete_range(&self, _: Request<rpc::DeleteRangeRequest>) -> Answer<rpc::DeleteRangeResponse> {
        Ok(Response::new(self.0.delete()))
    }

    async fn txn(&self, request: Request<rpc::TxnRequest>) -> Answer<rpc::TxnResponse> {
        let mut responses = Vec::new();
        for operation in request.into_inner().success {
            let response = match operation.request {
                Some(request_op::Request::RequestRange(range)) => {
                    response_op::Response::ResponseRange(self.0.range(&range).await)
                }
                Some(request_op::Request::RequestPut(put)) => response_op::Response::ResponsePut(self.0.put(put).await),
                Some(request_op::Request::RequestDeleteRange(_)) => {
                    response_op::Response::ResponseDeleteRange(self.0.delete())
                }
                _ => return Err(Status::unimplemented("no case needs it")),
            };
            responses.push(rpc::ResponseOp {
                response: Some(response),
            });
        }
        Ok(Response::new(rpc::TxnResponse {
            header: self.0.header(),
            succeeded: true,
            responses,
        }))
    }

    async fn range_stream(&self, _: Request<rpc::RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("no case needs it"))
    }

    async fn compact(&self, _: Request<rpc::CompactionRequest>) -> Answer<rpc::CompactionResponse> {
        Err(Status::unimplemented("no case needs it"))
    }
}

#[tonic::async_trait]
impl rpc::watch_server::Watch for Canned {
    type WatchStream = ReceiverStream<Result<rpc::WatchResponse, Status>>;

    async fn watch(&self, request: Request<Streaming<rpc::WatchRequest>>) -> Answer<Self::WatchStream> {
        let (sender, receiver) = mpsc::channel(64);
        let shared = self.0.clone();
        tokio::spawn(async move { shared.watch(request.into_inner(), sender).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl rpc::lease_server::Lease for Canned {
    type LeaseKeepAliveStream = Answers<rpc::LeaseKeepAliveResponse>;

    async fn lease_grant(&self, request: Request<rpc::LeaseGrantRequest>) -> Answer<rpc::LeaseGrantResponse> {
        let rpc::LeaseGrantRequest { ttl, id } = request.into_inner();
        self.0.ttl.store(ttl, Relaxed);
        Ok(Response::new(rpc::LeaseGrantResponse {
            header: self.0.header(),
            id: if id == 0 { self.0.next_lease.fetch_add(1, Relaxed) } else { id },
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(&self, _: Request<rpc::LeaseRevokeRequest>) -> Answer<rpc::LeaseRevokeResponse> {
        Ok(Response::new(rpc::LeaseRevokeResponse {
            header: self.0.header(),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<rpc::LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let shared = self.0.clone();
        Ok(Response::new(Box::pin(request.into_inner().map(move |request| {
            shared.renewed();
            Ok(rpc::LeaseKeepAliveResponse {
                header: shared.header(),
                id: request?.id,
                ttl: shared.ttl.load(Relaxed),
            })
        }))))
    }

    async fn lease_time_to_live(&self, _: Request<rpc::LeaseTimeToLiveRequest>) -> Answer<rpc::LeaseTimeToLiveResponse> {
        Err(Status::unimplemented("no case needs it"))
    }

    async fn lease_leases(&self, _: Request<rpc::LeaseLeasesRequest>) -> Answer<rpc::LeaseLeasesResponse> {
        Err(Status::unimplemented("no case needs it"))
    }
}
