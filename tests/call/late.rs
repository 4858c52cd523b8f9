//! What comes for requests that were given up ends no connection.

use std::time::Duration;

use futures_util::future::join_all;
use silly_etcd::etcd::{CallOptions, Client, Code};
use tokio::join;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::support::clock::{run, until};
use super::support::tap::Tap;
use super::support::{Call, Cluster, ONCE, client, frames};
use super::{answer, get, put, serve, watch};

/// Together more than what HTTP/2 libraries take for an attack, and in one go more than they remember.
const BATCHES: usize = 30;
const BATCH: usize = 100;

const HASTY: CallOptions = CallOptions {
    timeout: Duration::from_secs(1),
    ..ONCE
};

/// Servers that answer reads, confirm watches, and leave writes to the test.
async fn cluster() -> (Cluster, UnboundedReceiver<Call>) {
    let (puts, arrived) = unbounded_channel();
    let script = move |call: Call| {
        let puts = puts.clone();
        async move {
            match call.method.as_str() {
                "Put" => puts.send(call).unwrap_or_default(),
                _ => serve(call).await,
            }
        }
    };
    (Cluster::start(1, script).await, arrived)
}

/// Has a batch of writes begin, and reads once meanwhile: the server is there.
async fn batch(client: &Client) -> Vec<Code> {
    let puts = join_all((0..BATCH).map(|_| put(client)));
    let read = async {
        sleep(HASTY.timeout / 2).await;
        get(client).await
    };
    let (failed, read) = until(async { join!(puts, read) }).await;
    read.unwrap();
    failed.into_iter().map(|put| put.unwrap_err().code).collect()
}

#[test]
fn thousands_of_late_answers_and_of_pages_that_nobody_reads_end_no_connection() {
    run(async {
        for pages in [false, true] {
            let (etcd, mut puts) = cluster().await;
            let tap = Tap::start(etcd.addresses[0]).await;
            let client = client(&[tap.address], HASTY);
            let watcher = watch(&client).await.unwrap();
            for _ in 0..BATCHES {
                let (codes, calls) = join!(batch(&client), async {
                    let mut calls = Vec::new();
                    while calls.len() < BATCH {
                        let mut call = puts.recv().await.unwrap();
                        if pages {
                            call.page(503).send_data(vec![b'.'; 6000].into(), false).unwrap();
                        }
                        calls.push(call);
                    }
                    calls
                });
                let expected = if pages {
                    Code::Unavailable
                } else {
                    Code::DeadlineExceeded
                };
                assert_eq!(codes, [expected; BATCH]);
                let wire = calls[0].wire.clone();
                for call in &calls {
                    let stream = call.stream;
                    if pages {
                        wire.write(frames::data(stream, &[b'.'; 1000]).repeat(3));
                    } else {
                        let body = frames::data(stream, &[0; 5]);
                        wire.write([frames::headers(stream), body, frames::trailers(stream)].concat());
                    }
                }
                wire.delivered().await;
            }
            let (last, ()) = join!(put(&client), async {
                answer(puts.recv().await.unwrap()).await;
            });
            last.unwrap();
            assert_eq!(tap.connections(), 1);
            let watches = etcd.methods().iter().filter(|method| *method == "Watch").count();
            assert_eq!(watches, 1);
            drop(watcher);
        }
    });
}
