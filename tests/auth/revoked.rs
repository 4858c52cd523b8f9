//! Permissions that are taken under many watches: each of those ends, and the others hardly notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{
    Event, KeyValue, RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
    mvccpb::event::EventType,
};
use silly_etcd::etcd::{Code, Readable, Watcher};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};
use super::{client, let_in, permit};

const WATCHES: u8 = 40;

/// May the key not be read any more? That is every other one.
fn is_forbidden(key: &[u8]) -> bool {
    key[0] % 2 == 1
}

/// A server that takes those permissions. Its watches have one event each.
async fn serve(mut call: Call, revoked: Arc<AtomicBool>) {
    let forbidden = |key: &[u8]| is_forbidden(key) && revoked.load(Ordering::Relaxed);
    match call.method.as_str() {
        "Authenticate" => let_in(call),
        "Range" => {
            let request = call.request::<RangeRequest>().await.unwrap();
            match request.revision {
                _ if forbidden(&request.key) => call.finish("7", "etcdserver: permission denied"),
                i64::MAX => permit(call),
                revision => call.reply(&unchanged(request.key, revision)),
            }
        }
        _ => {
            while let Some(request) = call.request::<WatchRequest>().await {
                let Some(RequestUnion::CreateRequest(create)) = request.request_union else {
                    continue;
                };
                let denied = forbidden(&create.key);
                call.send(&WatchResponse {
                    watch_id: if denied { -1 } else { create.watch_id },
                    created: true,
                    canceled: denied,
                    cancel_reason: match denied {
                        true => "rpc error: code = PermissionDenied desc = etcdserver: permission denied".to_owned(),
                        false => String::new(),
                    },
                    ..WatchResponse::default()
                });
                if !denied {
                    call.send(&event(&create));
                }
                if create.key[0] == WATCHES - 1 && !denied {
                    call.wire.delivered().await;
                    revoked.store(true, Ordering::Relaxed);
                    return call.wire.close();
                }
            }
        }
    }
}

/// What a store has that is the same as before, and has gone on since.
fn unchanged(key: Bytes, mod_revision: i64) -> RangeResponse {
    RangeResponse {
        header: Some(ResponseHeader {
            revision: 1_000_000,
            ..ResponseHeader::default()
        }),
        kvs: vec![KeyValue {
            key,
            mod_revision,
            ..KeyValue::default()
        }],
        ..RangeResponse::default()
    }
}

/// The event at the revision that the watch asks for.
fn event(create: &WatchCreateRequest) -> WatchResponse {
    WatchResponse {
        watch_id: create.watch_id,
        events: vec![Event {
            r#type: EventType::Put.into(),
            kv: Some(KeyValue {
                key: create.key.clone(),
                mod_revision: create.start_revision + 1,
                ..KeyValue::default()
            }),
            prev_kv: None,
        }],
        ..WatchResponse::default()
    }
}

#[test]
fn each_watch_without_permission_ends_and_one_login_is_all_that_it_costs() {
    run(async {
        let revoked = Arc::new(AtomicBool::new(false));
        let script = {
            let revoked = revoked.clone();
            move |call| serve(call, revoked.clone())
        };
        let etcd = Cluster::start(1, script).await;
        let client = client(&etcd);
        let mut watchers: Vec<Watcher> = Vec::new();
        for key in 0..WATCHES {
            let request = WatchCreateRequest {
                key: vec![key].into(),
                start_revision: 10,
                ..WatchCreateRequest::default()
            };
            watchers.push(until(client.watch(request, &ONCE)).await.unwrap());
        }
        for (key, watcher) in (0..).zip(&watchers) {
            until(watcher.read()).await.unwrap();
            match until(watcher.read()).await {
                Ok(_) => assert!(!is_forbidden(&[key]), "{key}"),
                Err(error) => {
                    assert_eq!(error.code, Code::PermissionDenied, "{key}: {error}");
                    assert!(is_forbidden(&[key]), "{key}: {error}");
                }
            }
        }
        let count = |name| etcd.methods().iter().filter(|method| *method == name).count();
        assert!(count("Authenticate") <= 2, "logins: {}", count("Authenticate"));
        assert!(count("Watch") <= 3, "streams: {}", count("Watch"));
    });
}
