//! One write and one read, how a server answers them well, and what a program sees of the outcome; and every call once.

use silly_etcd::etcd::pb::{
    self, LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, TxnRequest,
    WatchCreateRequest,
};
use silly_etcd::etcd::{Applied, Client, Code, Error, Unary};

use super::{Call, ONCE};

/// A write.
pub(crate) async fn put(client: &Client) -> Result<PutResponse, Error> {
    let request = PutRequest {
        key: "key".into(),
        value: "value".into(),
        ..PutRequest::default()
    };
    client.put(request, &client.options()).await
}

/// A read.
pub(crate) async fn get(client: &Client) -> Result<RangeResponse, Error> {
    let request = RangeRequest {
        key: "key".into(),
        ..RangeRequest::default()
    };
    client.get(request, &client.options()).await
}

macro_rules! call_rows {
    ($($service:ident of $handle:ident, $prefix:literal {
        $($(#[$doc:meta])* $name:ident $required:tt { $request:ident $($row:tt)* })*
    })*) => {
        async fn call_rows(client: &Client) {
            $($(let _ = pb::$request::default().run(client.clone(), ONCE).await;)*)*
        }
    };
}

silly_etcd::rpcs!(call_rows);

/// Every call of a client once: those of the table in its order, then the others.
pub(crate) async fn call_all(client: &Client) {
    call_rows(client).await;
    let _ = client.txn(TxnRequest::default(), &ONCE).await;
    let _ = client.grant(LeaseGrantRequest::default(), false, &ONCE).await;
    let _ = client.keepalive(LeaseKeepAliveRequest::default(), None, &ONCE).await;
    let request = WatchCreateRequest {
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    let _ = client.watch(request, &ONCE).await;
}

/// Reads the request and answers it well.
pub(crate) async fn answer(mut call: Call) {
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
pub(crate) fn outcome<T>(answer: Result<T, Error>) -> Result<(), (Code, Applied)> {
    answer.map(drop).map_err(|error| (error.code, error.applied))
}
