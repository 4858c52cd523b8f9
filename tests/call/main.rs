//! Unary calls against a scripted etcd: what is sent again and what never, which server is asked, when a call ends.
//! A test that proves a goal of the project carries its number: C1 outcomes told apart, C2 no write twice, C3 unsent
//! writes sent again, C4 reads repeated, C5 deadlines, C6 failover, C7 silent servers, C9 serializable reads, C12
//! back-off.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod backoff;
mod calm;
mod close;
mod deadline;
mod dormant;
mod down;
mod errors;
mod foreign;
mod frames;
mod keepalive;
mod late;
mod limits;
mod lost;
mod maintenance;
mod member;
mod metadata;
mod once;
mod pages;
mod ping;
mod room;
mod route;
mod scan;
mod snapshot;
mod streams;
mod tls;
mod token;
mod unprocessed;
mod unsent;

use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{
    AuthenticateResponse, KeyValue, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest, WatchRequest,
    WatchResponse,
};
use silly_etcd::etcd::{CallOptions, Client, Config, Credentials, Error, Watcher};
use support::unary::{answer, get, outcome, put};
use support::{Call, Cluster, config};

/// Answers calls and logins, grants and renews leases and confirms watches.
async fn serve(mut call: Call) {
    match call.method.as_str() {
        "Watch" => {
            confirm(&mut call).await;
            call.abandoned().await;
        }
        "LeaseKeepAlive" => {
            renew(&mut call).await;
            call.finish("0", "");
        }
        "LeaseGrant" => {
            let id = call.request::<LeaseGrantRequest>().await.unwrap().id;
            call.reply(&LeaseGrantResponse {
                id,
                ttl: 10,
                ..LeaseGrantResponse::default()
            });
        }
        "Authenticate" => call.reply(&AuthenticateResponse {
            token: format!("token {}", call.number),
            ..AuthenticateResponse::default()
        }),
        _ => answer(call).await,
    }
}

/// Confirms a watch, and returns its id.
async fn confirm(call: &mut Call) -> i64 {
    let request = call.request::<WatchRequest>().await.unwrap().request_union;
    let Some(RequestUnion::CreateRequest(create)) = request else {
        panic!("not a create: {request:?}");
    };
    call.send(&WatchResponse {
        watch_id: create.watch_id,
        created: true,
        ..WatchResponse::default()
    });
    create.watch_id
}

/// Renews a lease, if the client asks for it.
async fn renew(call: &mut Call) -> bool {
    let Some(request) = call.request::<LeaseKeepAliveRequest>().await else {
        return false;
    };
    call.send(&LeaseKeepAliveResponse {
        header: None,
        id: request.id,
        ttl: 10,
    });
    true
}

/// Answers what a client asks when its watches resume: the store is still the same.
async fn affirm(mut call: Call) {
    let request = call.request::<RangeRequest>().await.unwrap();
    call.reply(&RangeResponse {
        header: Some(ResponseHeader {
            revision: 1000,
            ..ResponseHeader::default()
        }),
        kvs: vec![KeyValue {
            key: request.key,
            mod_revision: request.revision,
            ..KeyValue::default()
        }],
        ..RangeResponse::default()
    });
}

/// A watch.
async fn watch(client: &Client) -> Result<Watcher, Error> {
    let request = WatchCreateRequest {
        key: "key".into(),
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    client.watch(request, &client.options()).await
}

/// A single renewal.
async fn keepalive(client: &Client) -> Result<(), Error> {
    let request = LeaseKeepAliveRequest { id: 7 };
    let answered = client.keepalive(request, None, &client.options()).await;
    answered.map(drop)
}

/// A client that has to log in.
fn with_password(etcd: &Cluster, options: CallOptions) -> Client {
    let credentials = Credentials::Password {
        user: "user".to_owned(),
        password: "password".to_owned().into(),
    };
    Client::new(Config {
        credentials: Some(credentials),
        ..config(&etcd.addresses, options)
    })
}
