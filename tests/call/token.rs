//! A write whose token the server no longer takes: it was judged before it could happen, so it is sent again.

use silly_etcd::etcd::pb::{AuthenticateResponse, PutRequest, PutResponse};
use silly_etcd::etcd::{Client, Config, Credentials};

use super::support::clock::run;
use super::support::{Call, Cluster, ONCE, config};
use super::{outcome, put};

/// What servers say of a token that is worn out, or older than their store of users.
const REFUSALS: [(&str, &str); 4] = [
    ("16", "etcdserver: invalid auth token"),
    ("3", "etcdserver: user name is empty"),
    ("3", "etcdserver: revision of auth store is old"),
    ("2", "auth: revision in header is old"),
];

/// Each login has a token of its own; the first is refused.
async fn serve(mut call: Call, (code, text): (&str, &str)) {
    if call.method == "Authenticate" {
        let token = format!("token {}", call.number);
        return call.reply(&AuthenticateResponse {
            token,
            ..AuthenticateResponse::default()
        });
    }
    call.request::<PutRequest>().await;
    match call.metadata["token"] == "token 0" {
        true => call.finish(code, text),
        false => call.reply(&PutResponse::default()),
    }
}

#[test]
fn c3_a_write_with_a_worn_out_token_is_sent_again_with_a_new_one() {
    run(async {
        for refusal in REFUSALS {
            let etcd = Cluster::start(1, move |call| serve(call, refusal)).await;
            let credentials = Credentials::Password {
                user: "user".to_owned(),
                password: "password".to_owned().into(),
            };
            let client = Client::new(Config {
                credentials: Some(credentials),
                ..config(&etcd.addresses, ONCE)
            });
            assert_eq!(outcome(put(&client).await), Ok(()), "{refusal:?}");
            assert_eq!(etcd.methods(), ["Authenticate", "Put", "Authenticate", "Put"]);
        }
    });
}
