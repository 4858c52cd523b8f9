//! A server whose renewals are answered by a rule: after a while, or with a refusal, or never.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::time::Duration;

use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, PutRequest, PutResponse};
use silly_etcd::etcd::{CallOptions, Client, Result};
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use super::support::{Call, Cluster, ONCE};
use super::{granted, renew};

/// What becomes of the renewal of a lease.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    After(Duration),
    /// The stream ends with this code and text.
    Refusal(&'static str, &'static str),
    Never,
}

/// Which answer a server gives for a lease with this TTL.
pub(super) trait Rule: Fn(usize, i64) -> Answer + Clone + Send + Sync + 'static {}

impl<R: Fn(usize, i64) -> Answer + Clone + Send + Sync + 'static> Rule for R {}

pub(super) const NOW: Answer = Answer::After(Duration::ZERO);

/// Servers that grant what they are asked for, take every write, and answer renewals by `rule`.
pub(super) async fn cluster(servers: usize, rule: impl Rule) -> Cluster {
    let script = move |mut call: Call| {
        let rule = rule.clone();
        async move {
            match call.method.as_str() {
                "LeaseGrant" => {
                    let LeaseGrantRequest { id, ttl } = call.request().await.unwrap();
                    call.reply(&LeaseGrantResponse { ttl, ..granted(id) });
                }
                "LeaseKeepAlive" => renewals(&mut call, rule).await,
                _ => call.reply(&PutResponse::default()),
            }
        }
    };
    Cluster::start(servers, script).await
}

/// Serves one stream. The id of a lease is its TTL as well.
async fn renewals(call: &mut Call, rule: impl Rule) {
    let mut coming = VecDeque::<(Instant, i64)>::new();
    loop {
        let next = coming.front().copied();
        let answer = async {
            match next {
                Some((when, id)) => {
                    sleep_until(when).await;
                    id
                }
                None => pending().await,
            }
        };
        select! {
            biased;
            id = answer => {
                coming.pop_front();
                renew(call, id, id);
            }
            request = call.request::<LeaseKeepAliveRequest>() => {
                let Some(LeaseKeepAliveRequest { id }) = request else { break };
                match rule(call.server, id) {
                    Answer::After(delay) => coming.push_back((Instant::now() + delay, id)),
                    Answer::Refusal(code, text) => return call.finish(code, text),
                    Answer::Never => {}
                }
            }
        }
    }
    for (when, id) in coming {
        select! {
            biased;
            _ = call.abandoned() => return,
            () = sleep_until(when) => renew(call, id, id),
        }
    }
    // Half-closed, not given up.
    if timeout(Duration::ZERO, call.abandoned()).await.is_err() {
        call.finish("0", "");
    }
}

/// Grants leases of these TTLs, with the same ids, and has them renewed.
pub(super) async fn grant(client: &Client, ttls: &[i64]) {
    for ttl in ttls {
        let request = LeaseGrantRequest { id: *ttl, ttl: *ttl };
        client.grant(request, true, &ONCE).await.unwrap();
    }
}

/// Writes under a lease: refused if the client takes it for lost.
pub(super) async fn put(client: &Client, lease: i64) -> Result<()> {
    let request = PutRequest {
        lease,
        ..PutRequest::default()
    };
    client.put(request, &CallOptions { retry: 0, ..ONCE }).await.map(drop)
}

/// How many streams of renewals each server got.
pub(super) fn streams(etcd: &Cluster) -> BTreeMap<usize, usize> {
    let mut streams = BTreeMap::new();
    for seen in etcd.seen() {
        if seen.method == "LeaseKeepAlive" {
            *streams.entry(seen.server).or_default() += 1;
        }
    }
    streams
}
