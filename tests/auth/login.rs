//! What a login takes, and what goes with its token.

use std::future::pending;
use std::time::Duration;

use futures_util::future::join_all;
use silly_etcd::etcd::pb::{AuthenticateRequest, PutRequest, PutResponse};
use silly_etcd::etcd::{CallOptions, Code, RPCS};
use tokio::time::{advance, timeout};

use super::support::clock::{run, until};
use super::support::unary::call_all;
use super::support::{Call, Cluster, ONCE};
use super::{client, let_in, permit, put};

#[test]
fn a4_the_token_goes_with_every_call_but_the_login() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Authenticate" => let_in(call),
                "Range" => permit(call),
                _ => call.finish("9", "no"),
            }
        })
        .await;
        let client = client(&etcd);
        call_all(&client).await;

        let seen = etcd.seen();
        let (login, others) = seen.split_first().unwrap();
        assert_eq!(login.method, "Authenticate");
        assert!(!login.metadata.contains_key("token"));
        // The rows, moveleader with two questions; txn, grant, keepalive, may the range be watched, and the watch.
        assert_eq!(
            (others.len(), others[others.len() - 1].method.as_str()),
            (RPCS.len() + 6, "Watch")
        );
        for call in others {
            assert_eq!(call.metadata["token"], "token 0", "{}", call.method);
        }
    });
}

#[test]
fn a2_a_hundred_calls_share_a_login() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            if call.method == "Authenticate" {
                let request = call.request::<AuthenticateRequest>().await.unwrap();
                assert_eq!((request.name.as_str(), request.password.as_str()), ("root", "hush"));
                let_in(call);
            } else {
                call.reply(&PutResponse::default());
            }
        })
        .await;
        let client = client(&etcd);
        for answer in join_all((0..100).map(|_| put(&client))).await {
            answer.unwrap();
        }
        let logins = etcd.methods().iter().filter(|method| *method == "Authenticate").count();
        assert_eq!(logins, 1);
    });
}

#[test]
fn a2_a_wrong_password_is_tried_once_a_second() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            call.finish("3", "etcdserver: authentication failed, invalid user ID or password");
        })
        .await;
        let client = client(&etcd);
        for second in 1..=3 {
            for error in join_all((0..10).map(|_| put(&client))).await {
                assert_eq!(error.unwrap_err().code, Code::InvalidArgument);
            }
            assert_eq!(etcd.methods(), vec!["Authenticate"; second]);
            advance(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn a_login_that_hangs_is_left_for_another_server() {
    run(async {
        let etcd = Cluster::start(2, |mut call: Call| async move {
            match call.method.as_str() {
                "Authenticate" if call.number == 0 => pending().await,
                "Authenticate" => let_in(call),
                _ => call.reply(&PutResponse::default()),
            }
        })
        .await;
        let client = client(&etcd);
        let patient = CallOptions {
            timeout: Duration::from_secs(20),
            ..ONCE
        };
        let answer = timeout(Duration::from_secs(6), client.put(PutRequest::default(), &patient));
        until(answer).await.unwrap().unwrap();
        let seen = etcd.seen();
        assert_eq!(etcd.methods(), ["Authenticate", "Authenticate", "Put"]);
        assert_ne!(seen[0].server, seen[1].server);
    });
}

#[test]
fn a6_what_is_denied_stays_denied() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Authenticate" => let_in(call),
                _ => call.finish("7", "etcdserver: permission denied"),
            }
        })
        .await;
        let client = client(&etcd);
        for calls in 1..=3 {
            assert_eq!(put(&client).await.unwrap_err().code, Code::PermissionDenied);
            assert_eq!(etcd.methods().len(), 1 + calls);
        }
    });
}

#[test]
fn a5_a_server_without_authentication_is_asked_once() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Authenticate" => call.finish("9", "etcdserver: authentication is not enabled"),
                _ => call.reply(&PutResponse::default()),
            }
        })
        .await;
        let client = client(&etcd);
        for _ in 0..3 {
            put(&client).await.unwrap();
        }
        assert_eq!(etcd.methods(), ["Authenticate", "Put", "Put", "Put"]);
        assert!(etcd.seen().iter().all(|call| !call.metadata.contains_key("token")));
    });
}
