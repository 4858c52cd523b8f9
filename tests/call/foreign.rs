//! Servers of different clusters in one list of endpoints, and a cluster that another takes the place of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use silly_etcd::etcd::pb::{RangeResponse, ResponseHeader};
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::run;
use super::support::{Call, Cluster, ONCE};
use super::{get, outcome, put};

/// Answers any call as a server of this cluster. Every answer begins with the same header.
fn answer_for(call: &mut Call, cluster_id: u64) {
    let header = ResponseHeader {
        cluster_id,
        ..ResponseHeader::default()
    };
    call.reply(&RangeResponse {
        header: Some(header),
        ..RangeResponse::default()
    });
}

#[test]
fn h4_a_server_of_another_cluster_is_not_believed() {
    run(async {
        // The first that is asked names the cluster; it is the last time that it answers.
        let first = Arc::<AtomicU64>::default();
        let etcd = Cluster::start(2, move |mut call: Call| {
            let first = first.clone();
            async move {
                let server = call.server as u64 + 1;
                let known = first.load(Ordering::Relaxed);
                first.store(server, Ordering::Relaxed);
                if known == server && call.number == 1 {
                    call.finish("14", "etcdserver: no leader");
                } else {
                    answer_for(&mut call, server);
                }
            }
        })
        .await;
        let client = etcd.client(ONCE);
        assert_eq!(outcome(get(&client).await), Ok(()));
        // A write has been executed in the wrong place.
        assert_eq!(outcome(put(&client).await), Err((Code::Protocol, Applied::Maybe)));
        // And the server that belongs to the cluster is asked again.
        assert_eq!(outcome(get(&client).await), Ok(()));
        let servers: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        assert_eq!(servers, [servers[0], servers[0], 1 - servers[0], servers[0]]);
    });
}

#[test]
fn a_cluster_that_was_replaced_as_a_whole_is_served_on() {
    run(async {
        let etcd = Cluster::start(2, |mut call: Call| async move {
            let cluster_id = if call.number < 2 { 7 } else { 8 };
            if call.number == 1 {
                call.finish("14", "etcdserver: no leader");
            } else {
                answer_for(&mut call, cluster_id);
            }
        })
        .await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        for _ in 0..3 {
            assert_eq!(outcome(get(&client).await), Ok(()));
        }
    });
}
