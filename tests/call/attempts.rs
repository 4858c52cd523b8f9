//! What an error tells of the attempts before it.

use std::time::Duration;

use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::time::{Instant, sleep};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE, client, refusing};
use super::{get, put};

#[test]
fn every_endpoint_that_was_asked_is_named_with_what_was_wrong_there() {
    run(async {
        let without_leader = |mut call: Call| async move { call.finish("14", "etcdserver: no leader") };
        let proxy = |mut call: Call| async move {
            call.page(503).send_data("gone\n".into(), true).unwrap();
        };
        let (etcd, proxy) = (Cluster::start(1, without_leader).await, Cluster::start(1, proxy).await);
        let refusing = refusing();
        let servers = [refusing.local_addr().unwrap(), etcd.addresses[0], proxy.addresses[0]];
        let options = CallOptions {
            retry: 2,
            retry_sleep: Duration::from_secs(1),
            ..ONCE
        };
        let error = until(get(&client(&servers, options))).await.unwrap_err();
        let shown = error.to_string();
        let attempts = error.attempts.unwrap();
        assert_eq!(attempts.count, 5);
        assert!(shown.ends_with(", after 5 attempts"), "{shown}");
        let mut causes = attempts.causes;
        causes.sort_by_key(|(endpoint, _)| servers.iter().position(|server| server.to_string() == **endpoint));
        assert_eq!(
            causes.iter().map(|(_, cause)| cause.as_str()).collect::<Vec<_>>(),
            [
                "connection refused",
                "etcdserver: no leader",
                "plain HTTP in place of gRPC: 503 Service Unavailable: gone",
            ]
        );
    });
}

#[test]
fn the_time_counts_from_the_first_attempt_with_the_pauses() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            sleep(Duration::from_secs(2)).await;
            call.finish("14", "etcdserver: no leader");
        })
        .await;
        let client = etcd.client(CallOptions {
            retry: 2,
            retry_sleep: Duration::from_secs(1),
            ..ONCE
        });
        let began = Instant::now();
        let attempts = until(get(&client)).await.unwrap_err().attempts.unwrap();
        assert!(attempts.elapsed >= Duration::from_secs(8), "{:?}", attempts.elapsed);
        assert!(attempts.elapsed <= began.elapsed());
        assert_eq!(attempts.count, 3);
    });
}

#[test]
fn a_single_attempt_is_not_mentioned() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move { call.finish("3", "no") }).await;
        let error = put(&etcd.client(ONCE)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::InvalidArgument, Applied::No));
        assert_eq!(
            error.to_string(),
            format!("invalid_argument: no ({})", etcd.addresses[0])
        );
        assert_eq!(error.attempts.unwrap().count, 1);
    });
}
