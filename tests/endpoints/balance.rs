//! The policies of `balance`.

use std::time::Duration;

use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{Balance, CallOptions, Client, Config};
use tokio::time::sleep;

use super::support::ONCE;
use super::support::address;
use super::support::clock::{run, until};
use super::{asked, config, failed_writes, read, start, until_asked};

const ALL: [usize; 3] = [0, 1, 2];

fn balanced(etcd: &super::Cluster, balance: Balance) -> Client {
    Client::new(Config {
        balance,
        ..config(etcd, &ALL)
    })
}

#[test]
fn the_leader_is_asked_first_whoever_that_is() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = balanced(&etcd, Balance::Leader);
        for leader in [2, 3, 1] {
            {
                let mut script = script.lock().unwrap();
                script.leader = leader;
                script.term += 1;
            }
            until_asked(&client, leader as usize - 1).await;
        }
    });
}

#[test]
fn a_leader_that_fails_is_left_at_once_and_the_next_one_found() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = balanced(&etcd, Balance::Leader);
        script.lock().unwrap().leader = 2;
        until_asked(&client, 1).await;
        script.lock().unwrap().refusing = vec![1];
        // No call fails for it.
        assert_ne!(asked(&client).await, 1);
        {
            let mut script = script.lock().unwrap();
            script.leader = 3;
            script.term += 1;
        }
        until_asked(&client, 2).await;
    });
}

#[test]
fn a_user_who_may_not_ask_who_leads_is_served_as_by_sticky() {
    run(async {
        let (etcd, _) = start(3).await;
        let client = balanced(&etcd, Balance::Leader);
        let first = asked(&client).await;
        for _ in 0..3 {
            until(sleep(Duration::from_secs(31))).await;
            assert_eq!(asked(&client).await, first);
        }
        assert!(etcd.methods().contains(&"Status".to_owned()));
    });
}

#[test]
fn the_nearest_is_asked_first_and_a_little_nearer_moves_nobody() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = balanced(&etcd, Balance::Nearest);
        script.lock().unwrap().delays = vec![400, 100, 400];
        until_asked(&client, 1).await;
        script.lock().unwrap().delays = vec![400, 100, 90];
        for _ in 0..3 {
            until(sleep(Duration::from_secs(31))).await;
            assert_eq!(asked(&client).await, 1);
        }
        script.lock().unwrap().delays = vec![400, 100, 10];
        until_asked(&client, 2).await;
        // One that fails is left at once.
        script.lock().unwrap().refusing = vec![2];
        assert_ne!(asked(&client).await, 2);
        until_asked(&client, 1).await;
    });
}

#[test]
fn a_near_server_that_does_not_write_is_left_for_longer_each_time() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = balanced(&etcd, Balance::Nearest);
        {
            let mut script = script.lock().unwrap();
            script.delays = vec![100, 0, 100];
            script.stalled = vec![1];
        }
        let failed = failed_writes(&client, 60).await;
        assert!((1..10).contains(&failed), "{failed} of 60");
    });
}

#[test]
fn the_distance_is_known_of_servers_that_deny_the_read() {
    run(async {
        let (etcd, script) = start(3).await;
        {
            let mut script = script.lock().unwrap();
            script.delays = vec![100, 100, 0];
            script.is_denied = true;
        }
        let client = balanced(&etcd, Balance::Nearest);
        let current = |client: &Client| {
            let known = client.endpoints();
            known.iter().position(|known| known.current)
        };
        failed_writes(&client, 1).await;
        while current(&client) != Some(2) {
            until(sleep(Duration::from_secs(1))).await;
        }
    });
}

#[test]
fn a_server_of_another_cluster_is_not_the_nearest() {
    run(async {
        let (etcd, script) = start(3).await;
        {
            let mut script = script.lock().unwrap();
            script.delays = vec![100, 200, 0];
            script.foreign = vec![2];
        }
        let client = Client::new(Config {
            balance: Balance::Nearest,
            ..config(&etcd, &[0])
        });
        // Which cluster is the right one is what the first answer says.
        assert_eq!(asked(&client).await, 0);
        client
            .set_endpoints(etcd.addresses.iter().map(address).collect())
            .unwrap();
        for _ in 0..3 {
            until(sleep(Duration::from_secs(31))).await;
            assert_ne!(asked(&client).await, 2);
        }
    });
}

#[test]
fn reads_that_any_member_may_answer_go_round() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = balanced(&etcd, Balance::Spread);
        let first = asked(&client).await;
        until(sleep(Duration::from_secs(1))).await;
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(read(&client, true).await);
            // Others stay where they are.
            assert_eq!(asked(&client).await, first);
        }
        assert_eq!(seen[..3], seen[3..]);
        let mut servers = seen[..3].to_vec();
        servers.sort_unstable();
        assert_eq!(servers, ALL);
        // A server that fails is passed over, and no read fails for it.
        let failing = (first + 1) % 3;
        script.lock().unwrap().refusing = vec![failing];
        for _ in 0..6 {
            assert_ne!(read(&client, true).await, failing);
            assert_eq!(asked(&client).await, first);
        }
    });
}

#[test]
fn a_server_of_another_cluster_does_not_say_who_leads() {
    run(async {
        let (etcd, script) = start(2).await;
        script.lock().unwrap().foreign = vec![1];
        let client = Client::new(Config {
            // So that each server is asked what it is.
            min_version: Some("3.5".parse().unwrap()),
            ..config(&etcd, &[0])
        });
        let leaders = || -> Vec<_> { client.endpoints().iter().map(|known| known.leader).collect() };
        script.lock().unwrap().leader = 1;
        // Which cluster is the right one is what the first answer says.
        assert_eq!(asked(&client).await, 0);
        client
            .set_endpoints(etcd.addresses.iter().map(address).collect())
            .unwrap();
        assert_eq!(leaders(), [true, false]);
        script.lock().unwrap().leader = 2;
        let address = etcd.addresses[1].to_string().parse().unwrap();
        let options = CallOptions {
            endpoint: client.endpoint(&address),
            ..ONCE
        };
        assert!(until(client.get(RangeRequest::default(), &options)).await.is_err());
        assert_eq!(leaders(), [true, false]);
    });
}
