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

use silly_etcd::etcd::pb::{Member, MemberListResponse, RangeRequest, RangeResponse, ResponseHeader, StatusResponse};
use silly_etcd::etcd::{Client, Config};
use support::clock::until;
use support::{Call, Cluster, ONCE};
use tokio::time::sleep;

/// The cluster that the servers belong to, where a test says nothing else.
const CLUSTER: u64 = 7;

/// What the servers of a test say. The member of each is its place, from 1 on.
#[derive(Default)]
struct Script {
    members: Vec<Member>,
    /// Who leads; 0 where nobody says.
    leader: u64,
    term: u64,
    /// How long each takes to answer a read, in milliseconds.
    delays: Vec<u64>,
    /// Those of another cluster.
    foreign: Vec<usize>,
    /// Those that answer nothing but this.
    refusing: Vec<usize>,
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
    let (header, leader, term, members, delay, refuses) = {
        let script = script.lock().unwrap();
        let header = ResponseHeader {
            cluster_id: CLUSTER + u64::from(script.foreign.contains(&call.server)),
            member_id: call.server as u64 + 1,
            revision: 1,
            raft_term: script.term,
        };
        let delay = script.delays.get(call.server).copied().unwrap_or(0);
        let refuses = script.refusing.contains(&call.server);
        (
            header,
            script.leader,
            script.term,
            script.members.clone(),
            delay,
            refuses,
        )
    };
    if refuses {
        return call.finish("14", "etcdserver: no leader");
    }
    match call.method.as_str() {
        "MemberList" => call.reply(&MemberListResponse {
            header: Some(header),
            members,
        }),
        "Status" if leader == 0 => call.finish("7", "etcdserver: permission denied"),
        "Status" => call.reply(&StatusResponse {
            header: Some(header),
            leader,
            raft_term: term,
            version: "3.6.0".to_owned(),
            ..StatusResponse::default()
        }),
        _ => {
            sleep(std::time::Duration::from_millis(delay)).await;
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
            sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits until the client asks this server.
async fn until_asked(client: &Client, place: usize) {
    while asked(client).await != place {
        until(sleep(std::time::Duration::from_secs(1))).await;
    }
}
