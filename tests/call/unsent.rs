//! A request that certainly was not executed is sent again, even if it writes.

use std::ops::Range;
use std::time::Duration;

use silly_etcd::etcd::{Applied, CallOptions};
use tokio::join;

use super::support::clock::{run, until};
use super::support::{Call, Cluster, Fault, ONCE, client, refusing};
use super::unprocessed::UNPROCESSED;
use super::{answer, get, outcome, put};

/// With each of these the server says that it has not executed the request, and that another may.
const REFUSALS: [Fault; 4] = [
    ("no leader", |call| call.finish("14", "etcdserver: no leader")),
    ("too many requests", |call| {
        call.finish("8", "etcdserver: too many requests")
    }),
    ("not for a learner", |call| {
        call.finish("9", "etcdserver: rpc not supported for learner");
    }),
    ("dropped", |call| call.finish("2", "raft proposal dropped")),
];

/// Refuses the requests of these numbers and answers the others.
pub(crate) async fn refuse(numbers: Range<usize>, mut call: Call, refusal: fn(&mut Call)) {
    if !numbers.contains(&call.number) {
        return answer(call).await;
    }
    call.request::<()>().await;
    refusal(&mut call);
    call.abandoned().await;
}

#[test]
fn c3_a_refused_write_is_sent_again_to_the_same_server() {
    run(async {
        for (name, refusal) in REFUSALS {
            let etcd = Cluster::start(1, move |call| refuse(1..2, call, refusal)).await;
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
            let etcd = Cluster::start(2, move |call| refuse(0..1, call, refusal)).await;
            assert_eq!(outcome(put(&etcd.client(ONCE)).await), Ok(()), "{name}");
            let seen = etcd.seen();
            assert_eq!(seen.len(), 2, "{name}");
            assert_ne!(seen[0].server, seen[1].server, "{name}");
        }
    });
}

#[test]
fn behind_one_address_another_member_may_be_found() {
    const UNFIT: [Fault; 4] = [
        REFUSALS[0],
        REFUSALS[2],
        REFUSALS[3],
        ("unavailable", |call| call.finish("14", "etcdserver: server stopped")),
    ];
    run(async {
        for (name, refusal) in UNFIT {
            let etcd = Cluster::start(1, move |call| refuse(1..2, call, refusal)).await;
            let client = etcd.client(CallOptions { retry: 1, ..ONCE });
            for _ in 0..2 {
                get(&client).await.unwrap();
            }
            let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
            assert_eq!(streams, [1, 3, 1], "{name}");
        }
    });
}

#[test]
fn c4_a_refused_read_is_repeated() {
    run(async {
        for (name, refusal) in UNPROCESSED.into_iter().chain(REFUSALS) {
            let etcd = Cluster::start(1, move |call| refuse(0..1, call, refusal)).await;
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
            let etcd = Cluster::start(1, move |call| refuse(0..1, call, refusal)).await;
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
