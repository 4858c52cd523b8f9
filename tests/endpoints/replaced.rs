//! Other servers in the place of those that a client had.

use silly_etcd::etcd::Code;

use super::support::address;
use super::support::clock::run;
use super::{asked, config, known, start};

#[test]
fn calls_go_to_the_new_servers() {
    run(async {
        let (etcd, _) = start(3).await;
        let client = silly_etcd::etcd::Client::new(config(&etcd, &[0]));
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
        let client = silly_etcd::etcd::Client::new(config(&etcd, &[0]));
        let error = client.set_endpoints(Vec::new()).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(asked(&client).await, 0);
        client.close();
        let error = client.set_endpoints(vec![address(&etcd.addresses[0])]).unwrap_err();
        assert_eq!(error.code, Code::Closed);
    });
}
