//! What goes along with a request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{CallOptions, Client, Config, Credentials, RPCS};

use super::support::clock::run;
use super::support::unary::{answer, call_all};
use super::support::{Call, Cluster, ONCE, config};
use super::{keepalive, serve, watch};

/// What a member says of itself, even without a leader, and the list of members that need not be the cluster's.
const OF_A_MEMBER: [&str; 4] = ["Status", "Hash", "HashKV", "MemberList"];

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
        let rows = RPCS.iter().flat_map(|rpc| match rpc.path.rsplit('/').next().unwrap() {
            // The leader is looked for at all endpoints at once, and then until one of them responds.
            "MoveLeader" => vec!["Status", "Status"],
            method => vec![method],
        });
        let expected: Vec<_> = rows.chain(["Txn", "LeaseGrant", "LeaseKeepAlive", "Watch"]).collect();
        assert_eq!(methods, expected);
        for call in others {
            let leader = call.metadata.contains_key("hasleader");
            assert_eq!(leader, !OF_A_MEMBER.contains(&call.method.as_str()), "{}", call.method);
        }
        assert!(!serializable.metadata.contains_key("hasleader"));
        for call in seen {
            assert_eq!(call.metadata["content-type"], "application/grpc");
            assert_eq!(call.metadata["te"], "trailers");
            assert_eq!(call.metadata["client-api-version"], "3.7");
            let agent = call.metadata["user-agent"].to_str().unwrap();
            assert!(agent.starts_with("silly-etcd/"), "{agent}");
        }
    });
}

#[test]
fn what_a_program_says_of_itself_and_of_a_request_goes_along() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let client = Client::new(Config {
            name: Some("gateway/7".to_owned()),
            ..config(&etcd.addresses, ONCE)
        });
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("00-4bf9-01"));
        let options = CallOptions {
            headers: Some(Arc::new(headers)),
            ..ONCE
        };
        client.get(RangeRequest::default(), &options).await.unwrap();
        client.get(RangeRequest::default(), &ONCE).await.unwrap();

        let seen = etcd.seen();
        assert_eq!(seen[0].metadata["traceparent"], "00-4bf9-01");
        assert!(!seen[1].metadata.contains_key("traceparent"));
        for call in seen {
            let agent = call.metadata["user-agent"].to_str().unwrap().to_owned();
            assert!(agent.starts_with("gateway/7 silly-etcd/"), "{agent}");
        }
    });
}

#[test]
fn what_a_client_always_says_goes_along_with_its_logins_and_streams_too() {
    run(async {
        let etcd = Cluster::start(1, serve).await;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-shard"), HeaderValue::from_static("7"))]);
        let client = Client::new(Config {
            credentials: Some(Credentials::Password {
                user: "root".to_owned(),
                password: "root".to_owned().into(),
            }),
            options: CallOptions {
                headers: Some(Arc::new(headers)),
                ..ONCE
            },
            ..Config::new(vec![etcd.addresses[0].to_string().parse().unwrap()])
        });
        let _watcher = watch(&client).await.unwrap();
        keepalive(&client).await.unwrap();
        client.get(RangeRequest::default(), &ONCE).await.unwrap();
        let methods = etcd.methods();
        for method in ["Authenticate", "Watch", "LeaseKeepAlive", "Range"] {
            assert!(methods.iter().any(|seen| seen == method), "{method}: {methods:?}");
        }
        for call in etcd.seen() {
            assert_eq!(call.metadata["x-shard"], "7", "{}", call.method);
        }
        // A request's own stands in the place of the client's.
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-shard"), HeaderValue::from_static("8"))]);
        let options = CallOptions {
            headers: Some(Arc::new(headers)),
            ..ONCE
        };
        client.get(RangeRequest::default(), &options).await.unwrap();
        let seen = etcd.seen();
        let values: Vec<_> = seen.last().unwrap().metadata.get_all("x-shard").iter().collect();
        assert_eq!(values, ["8"]);
    });
}
