//! One stream of renewals on one server.
//!
//! In: the ids of leases. Out: the server's answers, until it breaks. It connects when it is first read, and is given
//! up when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::etcd::cause::{Cause, Retry};
use crate::etcd::endpoint::Endpoint;
use crate::etcd::failure::Failure;
use crate::etcd::pb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use crate::etcd::servers::Servers;
use crate::etcd::stream::{Line, Requests, Responses};
use crate::etcd::transport::gate::Purpose;

pub(crate) const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

pub(super) struct Stream {
    pub(super) endpoint: Arc<Endpoint>,
    /// What was asked for before it was open.
    asked: Vec<i64>,
    state: State,
}

enum State {
    Opening(BoxFuture<'static, Result<Opened, Failure>>),
    Opened(Box<Opened>),
}

struct Opened {
    line: Line,
    requests: Requests,
    responses: Responses<LeaseKeepAliveResponse>,
}

impl Stream {
    /// A stream to one of the cluster's servers.
    pub(super) fn new(servers: Arc<Servers>, endpoint: &Arc<Endpoint>) -> Self {
        let endpoint = endpoint.clone();
        Self {
            state: State::Opening(open(servers, endpoint.clone()).boxed()),
            endpoint,
            asked: Vec::new(),
        }
    }

    /// Asks for a lease. The request goes out with the next read.
    pub(super) fn ask(&mut self, id: i64) {
        match &mut self.state {
            State::Opening(_) => self.asked.push(id),
            State::Opened(opened) => opened.requests.queue(&LeaseKeepAliveRequest { id }),
        }
    }

    /// The next answer. Sends, while it waits for that, what was asked for. May be given up and called again.
    pub(super) async fn next(&mut self) -> Result<LeaseKeepAliveResponse, Failure> {
        loop {
            match &mut self.state {
                State::Opening(opening) => {
                    let mut opened = opening.await?;
                    for id in self.asked.drain(..) {
                        opened.requests.queue(&LeaseKeepAliveRequest { id });
                    }
                    self.state = State::Opened(Box::new(opened));
                }
                State::Opened(opened) => return opened.next().await,
            }
        }
    }

    /// The failure of a stream that has owed a response for `silence`.
    pub(super) fn unanswered(&self, silence: Duration) -> Failure {
        match &self.state {
            State::Opening(_) => Failure::new(&self.endpoint.name, &Cause::Timeout(silence)),
            State::Opened(opened) => opened.line.unanswered(silence),
        }
    }
}

impl Opened {
    async fn next(&mut self) -> Result<LeaseKeepAliveResponse, Failure> {
        let Self {
            line,
            requests,
            responses,
        } = self;
        loop {
            if let Some(answer) = responses.ready(line)? {
                return Ok(answer);
            }
            tokio::select! {
                biased;
                heard = responses.heard(line) => heard?,
                sent = requests.flush(line), if requests.is_waiting() => sent?,
            }
        }
    }
}

async fn open(servers: Arc<Servers>, endpoint: Arc<Endpoint>) -> Result<Opened, Failure> {
    let (line, requests, responses) = Line::open(servers, endpoint, KEEP_ALIVE, Purpose::Leases).await?;
    Ok(Opened {
        line,
        requests,
        responses,
    })
}

/// Did the server refuse what it was asked for? Not so if the connection broke, the server is unfit, or the token is.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    failure.status && !failure.member && failure.retry != Retry::Login
}
