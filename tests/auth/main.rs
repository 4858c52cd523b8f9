//! Authentication against a scripted etcd: which calls carry a token, and when the client logs in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod login;
mod revoked;
mod stale;

use silly_etcd::etcd::pb::{AuthenticateResponse, PutRequest, PutResponse};
use silly_etcd::etcd::{Client, Config, Credentials, Result};
use support::{Call, Cluster, ONCE};

/// A client of these servers that has a password.
fn client(etcd: &Cluster) -> Client {
    let endpoints = etcd.addresses.iter().map(|server| server.to_string().parse().unwrap());
    Client::new(Config {
        credentials: Some(Credentials::Password {
            user: "root".to_owned(),
            password: "hush".to_owned().into(),
        }),
        options: ONCE,
        ..Config::new(endpoints.collect())
    })
}

async fn put(client: &Client) -> Result<PutResponse> {
    client.put(PutRequest::default(), &ONCE).await
}

/// Answers the question whether a range may be watched.
fn permit(mut call: Call) {
    call.finish("11", "etcdserver: mvcc: required revision is a future revision");
}

/// Answers a login with the number of the request as the token.
fn let_in(mut call: Call) {
    let token = format!("token {}", call.number);
    call.reply(&AuthenticateResponse {
        token,
        ..AuthenticateResponse::default()
    });
}
