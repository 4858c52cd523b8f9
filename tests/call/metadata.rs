//! What goes along with a request.

use silly_etcd::etcd::RPCS;
use silly_etcd::etcd::pb::RangeRequest;

use super::support::clock::run;
use super::support::unary::call_all;
use super::support::{Call, Cluster, ONCE};

#[test]
fn c9_every_call_but_a_serializable_read_wants_a_leader() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move { call.finish("9", "no") }).await;
        let client = etcd.client(ONCE);
        call_all(&client).await;
        let request = RangeRequest {
            serializable: true,
            ..RangeRequest::default()
        };
        client.get(request, &ONCE).await.unwrap_err();

        let seen = etcd.seen();
        let (serializable, others) = seen.split_last().unwrap();
        let methods: Vec<_> = others.iter().map(|seen| seen.method.as_str()).collect();
        let rows = RPCS.iter().map(|rpc| rpc.path.rsplit('/').next().unwrap());
        let expected: Vec<_> = rows.chain(["Txn", "LeaseGrant", "LeaseKeepAlive", "Watch"]).collect();
        assert_eq!(methods, expected);
        for call in others {
            assert_eq!(call.metadata["hasleader"], "true", "{}", call.method);
        }
        assert!(!serializable.metadata.contains_key("hasleader"));
        for call in seen {
            assert_eq!(call.metadata["content-type"], "application/grpc");
            assert_eq!(call.metadata["te"], "trailers");
        }
    });
}
