//! Leases against a scripted etcd: a grant makes one lease, and one stream renews them all for as long as they live.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod grant;
mod keep;
mod once;
mod refused;
mod scripted;
mod slow;

use std::collections::BTreeSet;
use std::time::Duration;

use silly_etcd::etcd::Client;
use silly_etcd::etcd::pb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeResponse,
};
use support::{Call, Cluster, ONCE};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What the server grants, in seconds. A renewal is due after a third.
const TTL: i64 = 3;
const THIRD: Duration = Duration::from_secs(1);

/// Servers that grant and revoke leases. The test itself answers the renewals.
async fn cluster(servers: usize) -> (Cluster, UnboundedReceiver<Call>) {
    let (renewals, streams) = unbounded_channel();
    let script = move |mut call: Call| {
        let renewals = renewals.clone();
        async move {
            match call.method.as_str() {
                "LeaseKeepAlive" => renewals.send(call).unwrap_or_default(),
                "LeaseGrant" => {
                    let request = call.request::<LeaseGrantRequest>().await.unwrap();
                    call.reply(&granted(request.id));
                }
                _ => call.reply(&LeaseRevokeResponse::default()),
            }
        }
    };
    (Cluster::start(servers, script).await, streams)
}

fn granted(id: i64) -> LeaseGrantResponse {
    LeaseGrantResponse {
        id,
        ttl: TTL,
        ..LeaseGrantResponse::default()
    }
}

/// Grants a lease that is renewed, and returns its id.
async fn grant(client: &Client) -> i64 {
    let answer = client.grant(LeaseGrantRequest::default(), true, &ONCE).await;
    answer.unwrap().id
}

/// The next lease that the client renews.
async fn renewal(stream: &mut Call) -> i64 {
    stream.request::<LeaseKeepAliveRequest>().await.unwrap().id
}

fn renew(stream: &mut Call, id: i64, ttl: i64) {
    let header = None;
    stream.send(&LeaseKeepAliveResponse { header, id, ttl });
}

/// Reads and answers this many renewals, and returns the leases.
async fn renew_all(stream: &mut Call, count: usize) -> BTreeSet<i64> {
    let mut leases = BTreeSet::new();
    for _ in 0..count {
        let id = renewal(stream).await;
        renew(stream, id, TTL);
        leases.insert(id);
    }
    stream.wire.delivered().await;
    leases
}

fn streams(etcd: &Cluster) -> usize {
    etcd.methods()
        .iter()
        .filter(|method| *method == "LeaseKeepAlive")
        .count()
}
