//! Which servers a client has, and which of them it asks first: services that DNS knows, members that the cluster names,
//! the policies of `balance`. The servers and the name server are scripted, and time is the test's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod balance;
mod replaced;
mod srv;
mod sync;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use silly_etcd::etcd::pb::{
    AuthenticateResponse, Member, MemberListResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader, StatusResponse,
};
use silly_etcd::etcd::{CallOptions, Client, Config};
use support::clock::until;
use support::{Call, Cluster, ONCE};
use tokio::time::sleep;

/// The cluster that the servers belong to, where a test says nothing else.
const CLUSTER: u64 = 7;

/// What the servers of a test say. The member of each is its place, from 1 on.
#[derive(Clone, Default)]
struct Script {
    members: Vec<Member>,
    /// Who leads; 0 where nobody says.
    leader: u64,
    term: u64,
    /// How long each takes to answer a read, in milliseconds.
    delays: Vec<u64>,
    /// Those of another cluster.
    foreign: Vec<usize>,
    /// Those that answer nothing.
    refusing: Vec<usize>,
    /// Those that tell their members to users only.
    reserved: Vec<usize>,
    /// Those that leave every write unanswered.
    stalled: Vec<usize>,
    /// Those that take long to name members.
    slow: Vec<usize>,
    /// Whether nobody may read.
    is_denied: bool,
}

type Shared = Arc<Mutex<Script>>;

/// So many servers, and what they say.
async fn start(servers: usize) -> (Cluster, Shared) {
    let script = Shared::default();
    let scripted = script.clone();
    let cluster = Cluster::start(servers, move |call| serve(call, scripted.clone())).await;
    (cluster, script)
}

async fn serve(mut call: Call, script: Shared) {
    let said = script.lock().unwrap().clone();
    let header = ResponseHeader {
        cluster_id: CLUSTER + u64::from(said.foreign.contains(&call.server)),
        member_id: call.server as u64 + 1,
        revision: 1,
        raft_term: said.term,
    };
    if said.refusing.contains(&call.server) {
        return call.finish("14", "etcdserver: no leader");
    }
    let is_stranger = said.reserved.contains(&call.server) && !call.metadata.contains_key("token");
    match call.method.as_str() {
        "Authenticate" => call.reply(&AuthenticateResponse {
            token: "t".to_owned(),
            ..AuthenticateResponse::default()
        }),
        "MemberList" if said.slow.contains(&call.server) => {
            sleep(Duration::from_millis(1500)).await;
            call.reply(&MemberListResponse {
                header: Some(header),
                members: said.members,
            });
        }
        "MemberList" if is_stranger => call.finish("3", "etcdserver: user name is empty"),
        "MemberList" => call.reply(&MemberListResponse {
            header: Some(header),
            members: said.members,
        }),
        "Status" if said.leader == 0 => call.finish("7", "etcdserver: permission denied"),
        "Status" => call.reply(&StatusResponse {
            header: Some(header),
            leader: said.leader,
            raft_term: said.term,
            version: "3.6.0".to_owned(),
            ..StatusResponse::default()
        }),
        "Put" if said.stalled.contains(&call.server) => {
            call.abandoned().await;
        }
        "Put" => call.reply(&PutResponse::default()),
        "Range" if said.is_denied => {
            sleep(Duration::from_millis(
                said.delays.get(call.server).copied().unwrap_or(0),
            ))
            .await;
            call.finish("7", "etcdserver: permission denied");
        }
        _ => {
            sleep(Duration::from_millis(
                said.delays.get(call.server).copied().unwrap_or(0),
            ))
            .await;
            call.reply(&RangeResponse {
                header: Some(header),
                ..RangeResponse::default()
            });
        }
    }
}

/// A client of the servers at these places.
fn config(etcd: &Cluster, places: &[usize]) -> Config {
    let servers: Vec<_> = places.iter().map(|place| etcd.addresses[*place]).collect();
    support::config(&servers, ONCE)
}

/// The place of the server that answers a read.
async fn asked(client: &Client) -> usize {
    read(client, false).await
}

async fn read(client: &Client, serializable: bool) -> usize {
    let request = RangeRequest {
        key: "key".into(),
        serializable,
        ..RangeRequest::default()
    };
    let response = until(client.get(request, &client.options())).await.unwrap();
    response.header.unwrap().member_id as usize - 1
}

/// The servers of a client, each with where it is from.
fn known(client: &Client) -> Vec<(String, &'static str)> {
    let endpoints = client.endpoints();
    let known = endpoints
        .iter()
        .map(|known| (known.endpoint.to_string(), known.source.name()));
    known.collect()
}

/// Waits until the client's servers are these.
async fn until_known(client: &Client, expected: &[(String, &'static str)]) {
    until(async {
        while known(client) != expected {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// How many of some writes, each with a second for its only attempt, have failed.
async fn failed_writes(client: &Client, count: usize) -> usize {
    let options = CallOptions {
        timeout: Duration::from_secs(1),
        ..ONCE
    };
    let mut failed = 0;
    for _ in 0..count {
        let request = PutRequest {
            key: "key".into(),
            ..PutRequest::default()
        };
        failed += usize::from(until(client.put(request, &options)).await.is_err());
        until(sleep(Duration::from_secs(1))).await;
    }
    failed
}

/// Waits until the client asks this server.
async fn until_asked(client: &Client, place: usize) {
    while asked(client).await != place {
        until(sleep(Duration::from_secs(1))).await;
    }
}
