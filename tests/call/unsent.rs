//! A request that certainly was not executed is sent again, even if it writes.

use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::pb::PutRequest;
use silly_etcd::etcd::{Applied, CallOptions};
use tokio::join;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, Fault, ONCE, client, refusing};
use super::{answer, get, outcome, put};

/// With each of these the server says that it has not executed the request.
const REFUSALS: [Fault; 7] = [
    ("RST_STREAM REFUSED_STREAM", |call| call.reset(Reason::REFUSED_STREAM)),
    ("GOAWAY that covers only earlier requests", |call| {
        call.wire.goaway(call.stream - 1, Reason::NO_ERROR);
    }),
    ("GOAWAY that covers only earlier requests, then closed", |call| {
        call.wire.goaway(call.stream - 1, Reason::ENHANCE_YOUR_CALM);
        call.wire.close();
    }),
    ("GOAWAY in two steps", |call| {
        call.wire.goaway(u32::MAX >> 1, Reason::NO_ERROR);
        call.wire.goaway(0, Reason::NO_ERROR);
    }),
    ("no leader", |call| call.finish("14", "etcdserver: no leader")),
    ("too many requests", |call| {
        call.finish("8", "etcdserver: too many requests")
    }),
    ("not for a learner", |call| {
        call.finish("9", "etcdserver: rpc not supported for learner");
    }),
];

/// Refuses the request of that number and answers the others.
async fn refuse(number: usize, mut call: Call, refusal: fn(&mut Call)) {
    if call.number != number {
        return answer(call).await;
    }
    call.request::<PutRequest>().await;
    refusal(&mut call);
    call.abandoned().await;
}

#[test]
fn c3_a_refused_write_is_sent_again_to_the_same_server() {
    run(async {
        for (name, refusal) in REFUSALS {
            let etcd = Cluster::start(1, move |call| refuse(1, call, refusal)).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            put(&client).await.unwrap();
            assert_eq!(outcome(put(&client).await), Ok(()), "{name}");
            assert_eq!(etcd.methods().len(), 3, "{name}");
        }
    });
}

#[test]
fn c3_a_refused_write_is_sent_to_another_server() {
    run(async {
        for (name, refusal) in REFUSALS {
            let etcd = Cluster::start(2, move |call| refuse(0, call, refusal)).await;
            assert_eq!(outcome(put(&etcd.client(ONCE)).await), Ok(()), "{name}");
            let seen = etcd.seen();
            assert_eq!(seen.len(), 2, "{name}");
            assert_ne!(seen[0].server, seen[1].server, "{name}");
        }
    });
}

#[test]
fn c4_a_refused_read_is_repeated() {
    run(async {
        for (name, refusal) in REFUSALS {
            let etcd = Cluster::start(1, move |call| refuse(0, call, refusal)).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            assert_eq!(outcome(get(&client).await), Ok(()), "{name}");
            assert_eq!(etcd.methods().len(), 2, "{name}");
        }
    });
}

#[test]
fn c1_a_write_that_was_refused_to_the_end_did_not_happen() {
    run(async {
        for (name, refusal) in REFUSALS {
            let etcd = Cluster::start(1, move |call| refuse(0, call, refusal)).await;
            let error = put(&etcd.client(ONCE)).await.unwrap_err();
            assert_eq!(error.applied, Applied::No, "{name}");
        }
    });
}

#[test]
fn c1_a_refused_connection_is_named() {
    run(async {
        let address = refusing().local_addr().unwrap();
        let error = put(&client(&[address], ONCE)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unavailable: connection refused ({address})")
        );
        assert_eq!(error.applied, Applied::No);
    });
}

#[test]
fn c3_a_refused_connection_leads_to_another_server() {
    run(async {
        let etcd = Cluster::start(1, answer).await;
        let dead = refusing();
        let servers = [dead.local_addr().unwrap(), etcd.addresses[0]];
        // Which server a client asks first is up to chance.
        for calls in 1..=8 {
            assert_eq!(outcome(put(&client(&servers, ONCE)).await), Ok(()));
            assert_eq!(etcd.methods().len(), calls);
        }
    });
}

#[test]
fn c3_a_refused_connection_is_tried_again() {
    run(async {
        let server = refusing();
        let options = CallOptions {
            retry: 1,
            retry_sleep: Duration::from_secs(1),
            ..ONCE
        };
        let client = client(&[server.local_addr().unwrap()], options);
        let (answered, etcd) = join!(until(put(&client)), async {
            Cluster::on(vec![server.listen(8).unwrap()], answer)
        });
        assert_eq!(outcome(answered), Ok(()));
        assert_eq!(etcd.methods(), ["Put"]);
    });
}
