//! A token that the server takes no longer.

use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutResponse,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use tokio::join;
use tokio::sync::mpsc::UnboundedReceiver;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};
use super::{client, let_in, permit, put};

/// The words for it: an expired token, none where one is wanted, and a store that has changed under it.
const REFUSALS: [(&str, &str); 4] = [
    ("16", "etcdserver: invalid auth token"),
    ("3", "etcdserver: user name is empty"),
    ("3", "etcdserver: revision of auth store is old"),
    ("2", "auth: revision in header is old"),
];

#[test]
fn a3_a_refused_call_goes_out_again_with_a_new_token() {
    run(async {
        for (code, text) in REFUSALS {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                match call.method.as_str() {
                    "Authenticate" => let_in(call),
                    _ if call.metadata["token"] == "token 0" => call.finish(code, text),
                    _ => call.reply(&PutResponse::default()),
                }
            })
            .await;
            let client = client(&etcd);
            put(&client).await.unwrap();
            put(&client).await.unwrap();
            assert_eq!(etcd.methods(), ["Authenticate", "Put", "Authenticate", "Put", "Put"]);
            // Some servers refuse a login that comes with a stale token.
            assert!(!etcd.seen()[2].metadata.contains_key("token"), "{text}");
        }
    });
}

#[test]
fn a5_where_authentication_was_switched_off_the_token_is_dropped() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "Authenticate" if call.number == 0 => let_in(call),
                "Authenticate" => call.finish("9", "etcdserver: authentication is not enabled"),
                _ if call.metadata.contains_key("token") => call.finish("16", "etcdserver: invalid auth token"),
                _ => call.reply(&PutResponse::default()),
            }
        })
        .await;
        put(&client(&etcd)).await.unwrap();
        assert_eq!(etcd.methods(), ["Authenticate", "Put", "Authenticate", "Put"]);
    });
}

/// The next call but for logins, which are let in, and questions of permission.
async fn next(calls: &mut UnboundedReceiver<Call>) -> Call {
    loop {
        let call = until(calls.recv()).await.unwrap();
        match call.method.as_str() {
            "Authenticate" => let_in(call),
            "Range" => permit(call),
            _ => return call,
        }
    }
}

#[test]
fn a1_a_stream_that_is_refused_begins_again_with_a_new_token() {
    run(async {
        for (code, text) in REFUSALS {
            let (etcd, mut calls) = Cluster::manual(1).await;
            let client = client(&etcd);
            let (lease, mut stream) = join!(client.grant(LeaseGrantRequest::default(), true, &ONCE), async {
                let mut call = next(&mut calls).await;
                let id = call.request::<LeaseGrantRequest>().await.unwrap().id;
                let granted = LeaseGrantResponse {
                    id,
                    ttl: 3,
                    ..LeaseGrantResponse::default()
                };
                call.reply(&granted);
                next(&mut calls).await
            });
            let first = stream.metadata["token"].clone();
            stream.finish(code, text);
            let mut stream = next(&mut calls).await;
            assert_ne!(stream.metadata["token"], first, "{text}");
            let id = until(stream.request::<LeaseKeepAliveRequest>()).await.unwrap().id;
            assert_eq!(id, lease.unwrap().id);
            let header = None;
            stream.send(&LeaseKeepAliveResponse { header, id, ttl: 3 });
        }
    });
}

#[test]
fn a1_a_watch_that_is_refused_is_asked_for_again_with_a_new_token() {
    run(async {
        for (code, text) in REFUSALS {
            let (etcd, mut calls) = Cluster::manual(1).await;
            let client = client(&etcd);
            let request = WatchCreateRequest {
                start_revision: 10,
                ..WatchCreateRequest::default()
            };
            let name = match code {
                "16" => "Unauthenticated",
                "3" => "InvalidArgument",
                _ => "Unknown",
            };
            let (watch, ()) = join!(client.watch(request, &ONCE), async {
                let mut stream = next(&mut calls).await;
                let first = stream.metadata["token"].clone();
                stream.request::<WatchRequest>().await.unwrap();
                // A watch is refused in words of its own.
                stream.send(&WatchResponse {
                    watch_id: -1,
                    created: true,
                    canceled: true,
                    cancel_reason: format!("rpc error: code = {name} desc = {text}"),
                    ..WatchResponse::default()
                });
                let mut stream = next(&mut calls).await;
                assert_ne!(stream.metadata["token"], first, "{text}");
                let create = match stream.request::<WatchRequest>().await.unwrap().request_union {
                    Some(RequestUnion::CreateRequest(create)) => create,
                    other => panic!("not a create: {other:?}"),
                };
                assert_eq!(create.start_revision, 10);
                stream.send(&WatchResponse {
                    watch_id: create.watch_id,
                    created: true,
                    ..WatchResponse::default()
                });
                stream.wire.delivered().await;
            });
            watch.unwrap_or_else(|error| panic!("{text}: {}", error.message));
        }
    });
}

#[test]
fn a_call_that_was_sent_with_the_old_token_does_not_cost_the_new_one() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let client = client(&etcd);
        let both = async { join!(put(&client), put(&client)) };
        let (answered, ()) = join!(both, async {
            let_in(calls.recv().await.unwrap());
            let (mut first, mut second) = (calls.recv().await.unwrap(), calls.recv().await.unwrap());
            first.finish("16", "etcdserver: invalid auth token");
            let_in(calls.recv().await.unwrap());
            let mut again = calls.recv().await.unwrap();
            assert_eq!(again.metadata["token"], "token 3");
            again.reply(&PutResponse::default());
            // The other was under way all the time.
            second.finish("16", "etcdserver: invalid auth token");
            let mut again = calls.recv().await.unwrap();
            assert_eq!(again.method, "Put");
            assert_eq!(again.metadata["token"], "token 3");
            again.reply(&PutResponse::default());
        });
        answered.0.unwrap();
        answered.1.unwrap();
        let logins = etcd.methods().iter().filter(|method| *method == "Authenticate").count();
        assert_eq!(logins, 2);
    });
}
