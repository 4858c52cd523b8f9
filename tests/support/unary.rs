//! One write and one read, how a server answers them well, and what a program sees of the outcome.

use silly_etcd::etcd::pb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use silly_etcd::etcd::{Applied, Client, Code, Error};

use super::Call;

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
