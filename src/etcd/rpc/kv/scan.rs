//! All keys of a range as they were at one revision, page by page.
//!
//! In: a range. Out: pages, one of them fetched ahead. The first page fixes the revision. The others come over
//! connections of their own, since the rest of the client must not wait behind them; from a server that can stream a
//! range (etcd from 3.7 on) all but two as one stream. The task runs on the runtime; it ends with the scan, its failure,
//! its reader, or the client.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::etcd::call::{Kind, deadline_of};
use crate::etcd::cause::Cause;
use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::namespace::Namespace;
use crate::etcd::pb::{KeyValue, RangeRequest, RangeResponse, RangeStreamResponse, Response, ResponseHeader};
use crate::etcd::queue::Queue;
use crate::etcd::readable::Readable;
use crate::etcd::rpc::Unary;
use crate::etcd::servers::Servers;
use crate::etcd::transport::grpc::{ask, pack};

const STREAM: &str = "/etcdserverpb.KV/RangeStream";

/// The keys of the first page. The next have twice as many, or half as many, so that a page has about...
const FIRST: i64 = 64;

/// ... so many bytes.
const PAGE: usize = 1 << 20;

/// What is scanned.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRequest {
    /// The range, the revision, whether without values, how many keys at the most. The rest of it is not looked at.
    pub range: RangeRequest,
    /// The most keys of a page.
    pub page: i64,
}

/// Keys of one revision that are coming. It is given up when it is closed or dropped.
pub struct Scan {
    /// The first page's.
    pub header: Option<ResponseHeader>,
    /// The revision at which all keys are read.
    pub revision: i64,
    /// How many keys the range has.
    pub count: i64,
    queue: Arc<Queue<RangeResponse>>,
    stop: DropGuard,
}

impl Client {
    /// Begins to read a range. The deadline of the options is that of the first page.
    pub async fn scan(&self, request: ScanRequest, options: &CallOptions) -> Result<Scan> {
        let ScanRequest { range, page } = request;
        let mut pages = Pages {
            limit: FIRST.min(page),
            page,
            left: match range.limit {
                0 => i64::MAX,
                limit => limit,
            },
            range,
            header: None,
        };
        let first = self.get(pages.next(), options).await?;
        let (header, count) = (first.header, first.count);
        let revision = match pages.range.revision {
            0 => first.revision(),
            revision => revision,
        };
        let queue = Arc::new(Queue::new(1));
        let stop = CancellationToken::new();
        let task = Task {
            servers: self.servers().apart(),
            namespace: self.namespace.clone(),
            options: CallOptions {
                deadline: None,
                min_revision: 0,
                ..options.clone()
            },
            queue: queue.clone(),
            count,
        };
        pages.range.revision = revision;
        let (stopped, ended) = (stop.clone(), queue.clone());
        tokio::spawn(async move {
            if let Some(Err(error)) = stopped.run_until_cancelled(task.run(pages, first)).await {
                ended.end(error);
            }
        });
        Ok(Scan {
            header,
            revision,
            count,
            queue,
            stop: stop.drop_guard(),
        })
    }
}

impl Scan {
    /// Gives it up; what was not read is dropped. May be called from any thread, and again.
    pub fn close(&self) {
        self.stop.token().cancel();
        self.queue.close(Error::new(Code::Closed, "the scan is closed"));
    }
}

/// A page says with `more` whether another follows, and with `count` how many keys the range has.
impl Readable for Scan {
    type Item = RangeResponse;

    fn take(&self) -> Option<Result<RangeResponse>> {
        self.queue.take()
    }

    fn put_back(&self, page: RangeResponse) {
        self.queue.put_back(page);
    }

    async fn ready(&self) {
        self.queue.ready().await;
    }
}

/// What is left of a range.
struct Pages {
    /// From the first key that was not read yet.
    range: RangeRequest,
    /// The keys of the next page, and the most that one may have.
    limit: i64,
    page: i64,
    /// How many keys may still be read.
    left: i64,
    /// That of the last page which came with one.
    header: Option<ResponseHeader>,
}

impl Pages {
    /// The request for the next.
    fn next(&self) -> RangeRequest {
        RangeRequest {
            limit: self.limit.min(self.left),
            ..self.range.clone()
        }
    }

    /// The request for all that is left, as one stream.
    fn rest(&self) -> RangeRequest {
        RangeRequest {
            limit: self.left,
            serializable: true,
            ..self.range.clone()
        }
    }

    /// Sees a page, and gives it a header where it has none. Says whether another follows.
    fn seen(&mut self, page: &mut RangeResponse) -> bool {
        self.header = page.header.take().or(self.header.take());
        page.header.clone_from(&self.header);
        let Some(last) = page.kvs.last() else { return false };
        self.left -= page.kvs.len() as i64;
        self.range.key = after(&last.key);
        let size: usize = page.kvs.iter().map(size).sum();
        if size > PAGE {
            self.limit = (self.limit / 2).max(1);
        } else if size * 2 <= PAGE {
            self.limit = self.limit.saturating_mul(2).min(self.page);
        }
        page.more && self.left > 0
    }
}

/// The first key behind this one.
fn after(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

/// What fetches the pages.
struct Task {
    servers: Servers,
    namespace: Namespace,
    options: CallOptions,
    queue: Arc<Queue<RangeResponse>>,
    count: i64,
}

impl Task {
    /// Hands out the first page and fetches the others. Fails when there are no more, too.
    async fn run(self, mut pages: Pages, first: RangeResponse) -> Result<()> {
        let mut goes_on = self.hand_out(&mut pages, first).await;
        let mut streams = true;
        while goes_on {
            let page = self.fetch(pages.next()).await?;
            goes_on = self.hand_out(&mut pages, page).await;
            if goes_on && streams {
                streams = false;
                let streamed = self.stream(&mut pages);
                // Where the client is closed, the next page says so.
                goes_on = self.servers.closed.run_until_cancelled(streamed).await.unwrap_or(true);
            }
        }
        Err(Error::new(Code::Closed, "the scan is over"))
    }

    /// Hands out a page. Says whether another follows.
    async fn hand_out(&self, pages: &mut Pages, mut page: RangeResponse) -> bool {
        page.more = pages.seen(&mut page);
        page.count = self.count;
        let goes_on = page.more;
        self.queue.push(page).await;
        goes_on
    }

    /// Hands out what is left as one server streams it. What keeps that from its end is left to pages. Says whether
    /// there is something left.
    async fn stream(&self, pages: &mut Pages) -> bool {
        let route = self.servers.endpoints.route(self.options.only());
        let endpoint = route.endpoint();
        if !endpoint.may_stream_ranges() {
            return true;
        }
        // It has just given a page: a stream says only at its end which cluster it is from.
        let Some(authorized) = self.servers.ready(endpoint, Instant::now()) else {
            return true;
        };
        let mut request = pages.rest();
        self.namespace.enter(&mut request);
        let metadata = authorized.metadata(false, self.options.headers.as_deref());
        let end = deadline_of(&self.options).end;
        let asked = ask::<RangeStreamResponse>(&authorized.connection, STREAM, end, &metadata, pack(&request)).await;
        let Ok(mut incoming) = asked else { return true };
        loop {
            let next = timeout(self.options.timeout, incoming.next()).await;
            let chunk = match next {
                Ok(Ok(chunk)) => chunk.and_then(|chunk| chunk.range_response),
                Ok(Err(cause @ Cause::Status(..))) if cause.verdict().code == Code::Unimplemented => {
                    endpoint.streams_no_range();
                    None
                }
                _ => None,
            };
            // Only the last may be empty.
            let Some(mut chunk) = chunk.filter(|chunk| chunk.header.is_some() || !chunk.kvs.is_empty()) else {
                return true;
            };
            self.namespace.leave(&mut chunk);
            if !self.hand_out_split(pages, chunk).await {
                return false;
            }
        }
    }

    /// Hands out a piece of a stream in pages that are not too long. Says whether something is left.
    async fn hand_out_split(&self, pages: &mut Pages, chunk: RangeResponse) -> bool {
        let more = chunk.more || chunk.header.is_none();
        let mut kvs = chunk.kvs.into_iter();
        loop {
            let page = RangeResponse {
                kvs: kvs.by_ref().take(pages.page as usize).collect(),
                more: more || kvs.len() > 0,
                ..RangeResponse::default()
            };
            if !self.hand_out(pages, page).await {
                return false;
            }
            if kvs.len() == 0 {
                return true;
            }
        }
    }

    /// One page as it was at the revision, which any member can tell that has had it, and the cluster as a whole has.
    async fn fetch(&self, request: RangeRequest) -> Result<RangeResponse> {
        let request = RangeRequest {
            serializable: true,
            ..request
        };
        match self.range(Kind::SerializableRead, request.clone()).await {
            Err(error) if error.code == Code::OutOfRange => {
                let request = RangeRequest {
                    serializable: false,
                    ..request
                };
                self.range(Kind::Read, request).await
            }
            fetched => fetched,
        }
    }

    async fn range(&self, kind: Kind, mut request: RangeRequest) -> Result<RangeResponse> {
        self.namespace.enter(&mut request);
        let call = self
            .servers
            .call(kind, RangeRequest::RPC.method(), request, &self.options);
        let mut response = call.await?.response;
        self.namespace.leave(&mut response);
        Ok(response)
    }
}
