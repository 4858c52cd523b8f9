//! A grant makes one lease, even if its answer is lost.

use silly_etcd::etcd::pb::{LeaseGrantRequest, LeaseGrantResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse};
use silly_etcd::etcd::{Applied, CallOptions, Code};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::support::clock::run;
use super::support::{Call, Cluster, ONCE};
use super::{TTL, granted};

/// A server that makes leases but loses the answer of the first grant.
async fn lossy() -> (Cluster, UnboundedReceiver<LeaseGrantRequest>) {
    let (granted, grants) = unbounded_channel();
    let script = move |mut call: Call| {
        let granted = granted.clone();
        async move {
            if call.method == "LeaseTimeToLive" {
                let id = call.request::<LeaseTimeToLiveRequest>().await.unwrap().id;
                return call.reply(&LeaseTimeToLiveResponse {
                    id,
                    ttl: TTL - 1,
                    granted_ttl: TTL,
                    ..LeaseTimeToLiveResponse::default()
                });
            }
            granted.send(call.request().await.unwrap()).unwrap();
            match call.number {
                0 => call.wire.close(),
                _ => call.finish("9", "etcdserver: lease already exists"),
            }
            call.abandoned().await;
        }
    };
    (Cluster::start(1, script).await, grants)
}

#[test]
fn l8_a_grant_whose_answer_was_lost_makes_one_lease() {
    run(async {
        let (etcd, mut grants) = lossy().await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let request = LeaseGrantRequest {
            ttl: TTL,
            ..LeaseGrantRequest::default()
        };
        let answer = client.grant(request, false, &client.options()).await.unwrap();
        let (first, second) = (grants.recv().await.unwrap(), grants.recv().await.unwrap());
        assert_eq!(first, second);
        assert!(first.id > 0);
        assert_eq!((answer.id, answer.error.as_str()), (first.id, ""));
        assert_eq!(etcd.methods(), ["LeaseGrant", "LeaseGrant", "LeaseTimeToLive"]);
    });
}

#[test]
fn its_answer_tells_what_was_granted() {
    run(async {
        let (etcd, _grants) = lossy().await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let answer = client
            .grant(LeaseGrantRequest::default(), false, &client.options())
            .await;
        assert_eq!(answer.unwrap().ttl, TTL);
    });
}

#[test]
fn l8_a_lease_that_is_gone_when_its_grant_is_repeated_is_an_error() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "LeaseTimeToLive" => call.reply(&LeaseTimeToLiveResponse {
                    ttl: -1,
                    ..LeaseTimeToLiveResponse::default()
                }),
                _ if call.number == 0 => call.wire.close(),
                _ => call.finish("9", "etcdserver: lease already exists"),
            }
            call.abandoned().await;
        })
        .await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        client
            .grant(LeaseGrantRequest::default(), false, &client.options())
            .await
            .unwrap_err();
    });
}

#[test]
fn l8_a_grant_of_the_callers_own_id_is_a_write_like_any_other() {
    run(async {
        let (etcd, mut grants) = lossy().await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let request = LeaseGrantRequest { id: 7, ttl: TTL };
        let error = client.grant(request, false, &client.options()).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::Unavailable, Applied::Maybe));
        let error = client.grant(request, false, &client.options()).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::FailedPrecondition, Applied::No));
        assert_eq!(grants.recv().await, Some(request));
        assert_eq!(etcd.methods(), ["LeaseGrant", "LeaseGrant"]);
    });
}

#[test]
fn a_grant_of_another_lease_is_an_error() {
    run(async {
        for id in [0, 7] {
            let etcd = Cluster::start(1, move |mut call: Call| async move { call.reply(&granted(id)) }).await;
            let answer = etcd.client(ONCE).grant(LeaseGrantRequest::default(), true, &ONCE).await;
            assert_eq!(answer.unwrap_err().code, Code::Protocol);
        }
    });
}

#[test]
fn a_grant_that_made_none_says_why() {
    run(async {
        let refused = LeaseGrantResponse {
            error: "refused".to_owned(),
            ..granted(0)
        };
        let etcd = Cluster::start(1, move |mut call: Call| {
            let refused = refused.clone();
            async move { call.reply(&refused) }
        })
        .await;
        let answer = etcd.client(ONCE).grant(LeaseGrantRequest::default(), true, &ONCE).await;
        assert_eq!(answer.unwrap().error, "refused");
        assert_eq!(etcd.methods(), ["LeaseGrant"]);
    });
}

/// A server that has all leases whose grant is not the `free`th, each with a TTL of `granted`, and may lose the answer
/// of the first grant.
async fn crowded(free: usize, granted: i64, lost: bool) -> (Cluster, UnboundedReceiver<LeaseGrantRequest>) {
    let (asked, grants) = unbounded_channel();
    let script = move |mut call: Call| {
        let asked = asked.clone();
        async move {
            if call.method == "LeaseTimeToLive" {
                let id = call.request::<LeaseTimeToLiveRequest>().await.unwrap().id;
                return call.reply(&LeaseTimeToLiveResponse {
                    id,
                    ttl: granted,
                    granted_ttl: granted,
                    ..LeaseTimeToLiveResponse::default()
                });
            }
            let request: LeaseGrantRequest = call.request().await.unwrap();
            asked.send(request).unwrap();
            match call.number {
                0 if lost => call.wire.close(),
                number if number == free => call.reply(&super::granted(request.id)),
                _ => call.finish("9", "etcdserver: lease already exists"),
            }
            call.abandoned().await;
        }
    };
    (Cluster::start(1, script).await, grants)
}

#[test]
fn an_id_that_somebody_else_has_is_never_taken_for_our_own() {
    run(async {
        let (etcd, mut grants) = crowded(1, TTL, false).await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let request = LeaseGrantRequest { id: 0, ttl: TTL };
        let answer = client.grant(request, false, &client.options()).await.unwrap();
        let (first, second) = (grants.recv().await.unwrap(), grants.recv().await.unwrap());
        assert_ne!(first.id, second.id);
        assert_eq!(answer.id, second.id);
        // Nothing was lost, so there is nothing to ask about.
        assert_eq!(etcd.methods(), ["LeaseGrant", "LeaseGrant"]);
    });
}

#[test]
fn a_lease_with_another_ttl_is_not_the_one_whose_grant_was_lost() {
    run(async {
        // The first is lost, the second is its repetition, the third a question, the fourth has another id.
        let (etcd, mut grants) = crowded(3, 600, true).await;
        let client = etcd.client(CallOptions { retry: 1, ..ONCE });
        let request = LeaseGrantRequest { id: 0, ttl: TTL };
        let answer = client.grant(request, false, &client.options()).await.unwrap();
        let (first, again) = (grants.recv().await.unwrap(), grants.recv().await.unwrap());
        assert_eq!(first.id, again.id);
        assert_ne!(answer.id, first.id);
        assert_eq!(
            etcd.methods(),
            ["LeaseGrant", "LeaseGrant", "LeaseTimeToLive", "LeaseGrant"]
        );
    });
}

#[test]
fn a_server_to_which_every_id_exists_is_asked_a_few_times_only() {
    run(async {
        let (etcd, _grants) = crowded(usize::MAX, TTL, false).await;
        let client = etcd.client(CallOptions { retry: 5, ..ONCE });
        let request = LeaseGrantRequest { id: 0, ttl: TTL };
        let error = client.grant(request, true, &client.options()).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::FailedPrecondition, Applied::No));
        assert!((2..10).contains(&etcd.methods().len()));
    });
}

#[test]
fn an_id_of_the_callers_own_is_never_taken_for_granted() {
    run(async {
        let (etcd, _grants) = crowded(usize::MAX, TTL, true).await;
        let options = CallOptions {
            retry: 1,
            retry_unknown: true,
            ..ONCE
        };
        let client = etcd.client(options);
        let request = LeaseGrantRequest { id: 7, ttl: TTL };
        let error = client.grant(request, true, &client.options()).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::FailedPrecondition, Applied::Maybe));
        assert_eq!(etcd.methods(), ["LeaseGrant", "LeaseGrant"]);
    });
}
