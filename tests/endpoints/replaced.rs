//! Other servers in the place of those that a client had.

use std::time::Duration;

use silly_etcd::etcd::{CallOptions, Client, Code, Config};
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::{ONCE, address};
use super::{asked, config, known, start};

#[test]
fn calls_go_to_the_new_servers() {
    run(async {
        let (etcd, _) = start(3).await;
        let client = Client::new(config(&etcd, &[0]));
        assert_eq!(asked(&client).await, 0);
        client.set_endpoints(vec![address(&etcd.addresses[2])]).unwrap();
        assert_eq!(asked(&client).await, 2);
        assert_eq!(known(&client), [(etcd.addresses[2].to_string(), "conf")]);
    });
}

#[test]
fn there_is_always_one() {
    run(async {
        let (etcd, _) = start(1).await;
        let client = Client::new(config(&etcd, &[0]));
        let error = client.set_endpoints(Vec::new()).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(asked(&client).await, 0);
        client.close();
        let error = client.set_endpoints(vec![address(&etcd.addresses[0])]).unwrap_err();
        assert_eq!(error.code, Code::Closed);
    });
}

#[test]
fn a_call_in_its_pause_goes_on_at_the_new_servers() {
    run(async {
        let (etcd, script) = start(2).await;
        let options = CallOptions {
            retry: 1,
            retry_sleep: Duration::from_secs(10),
            ..ONCE
        };
        let client = Client::new(Config {
            options,
            ..config(&etcd, &[0])
        });
        script.lock().unwrap().refusing = vec![0];
        let replaced = async {
            sleep(Duration::from_secs(5)).await;
            client.set_endpoints(vec![address(&etcd.addresses[1])]).unwrap();
        };
        let (place, ()) = until(async { tokio::join!(asked(&client), replaced) }).await;
        assert_eq!(place, 1);
        let seen: Vec<_> = etcd.seen().iter().map(|seen| seen.server).collect();
        assert_eq!(seen, [0, 1]);
    });
}
