//! Unary calls against a scripted etcd: what is sent again and what never, which server is asked, when a call ends.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod close;
mod deadline;
mod errors;
mod foreign;
mod lost;
mod metadata;
mod route;
mod unsent;

use silly_etcd::etcd::pb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use silly_etcd::etcd::{Applied, Client, Code, Error};
use support::Call;

/// A write.
async fn put(client: &Client) -> Result<PutResponse, Error> {
    let request = PutRequest {
        key: "key".into(),
        value: "value".into(),
        ..PutRequest::default()
    };
    client.put(request, &client.options()).await
}

/// A read.
async fn get(client: &Client) -> Result<RangeResponse, Error> {
    let request = RangeRequest {
        key: "key".into(),
        ..RangeRequest::default()
    };
    client.get(request, &client.options()).await
}

/// Reads the request and answers it well.
async fn answer(mut call: Call) {
    match call.method.as_str() {
        "Put" => {
            let request = call.request::<PutRequest>().await;
            if request.is_some_and(|request| request.key == "key") {
                call.reply(&PutResponse::default());
            }
        }
        _ => call.reply(&RangeResponse::default()),
    }
}

/// What a program branches on.
fn outcome<T>(answer: Result<T, Error>) -> Result<(), (Code, Applied)> {
    answer.map(drop).map_err(|error| (error.code, error.applied))
}
