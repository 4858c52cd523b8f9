//! A server that says it is pinged too often is pinged half as often from then on, on later connections too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use h2::Reason;
use silly_etcd::etcd::CallOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::support::clock::{run, until};
use super::support::frames::{self, frame};
use super::support::tap::Tap;
use super::support::{Call, Cluster, client, listen, ports};
use super::{get, outcome, put, serve};

/// The settings of a server that has nothing to say.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Long enough for six pings at the pace that a client begins with.
const OBSERVED: Duration = Duration::from_secs(65);

const PATIENT: CallOptions = CallOptions {
    timeout: Duration::from_secs(3600),
    retry: 9,
    retry_sleep: Duration::from_millis(1),
    retry_unknown: true,
    ..CallOptions::DEFAULT
};

/// As gRPC's servers say it.
fn complaint() -> Vec<u8> {
    let reason = u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes();
    frame(
        7,
        0,
        0,
        &[&[0x7f, 0xff, 0xff, 0xff], &reason[..], b"too_many_pings"].concat(),
    )
}

#[test]
fn each_complaint_doubles_the_interval() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], PATIENT);
        let observed = async {
            let mut counts = Vec::new();
            for _ in 0..3 {
                let call: Call = calls.recv().await.unwrap();
                let before = tap.pings();
                sleep(OBSERVED).await;
                counts.push(tap.pings() - before);
                call.wire.write(complaint());
                call.wire.close();
            }
            counts
        };
        let counts = tokio::select! {
            _ = get(&client) => panic!("nobody answered it"),
            counts = until(observed) => counts,
        };
        assert_eq!(counts, [6, 3, 1]);
    });
}

#[test]
fn a_connection_that_begins_with_a_complaint_counts_too() {
    run(async {
        for first in [complaint(), [SETTINGS, &complaint()].concat()] {
            let etcd = Cluster::start(1, |mut call: Call| async move {
                match call.method.as_str() {
                    "Put" => serve(call).await,
                    _ => drop(call.abandoned().await),
                }
            })
            .await;
            let behind = etcd.addresses[0];
            let complained = Arc::<AtomicBool>::default();
            let address = listen(ports(1).await, move |_, mut socket: TcpStream| {
                let (first, complained) = (first.clone(), complained.clone());
                async move {
                    if !complained.swap(true, Ordering::Relaxed) {
                        let _ = socket.write_all(&first).await;
                        let mut bytes = [0; 1024];
                        while socket.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
                        return;
                    }
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    server.set_nodelay(true).unwrap();
                    socket.set_nodelay(true).unwrap();
                    let _ = copy_bidirectional(&mut socket, &mut server).await;
                }
            })[0];
            let tap = Tap::start(address).await;
            let client = client(&[tap.address], PATIENT);
            assert_eq!(outcome(until(put(&client)).await), Ok(()));
            let hanging = timeout(OBSERVED, get(&client));
            assert!(until(hanging).await.is_err());
            assert_eq!(tap.pings(), 3);
        }
    });
}

#[test]
fn another_reason_to_go_away_changes_nothing() {
    run(async {
        let (etcd, mut calls) = Cluster::manual(1).await;
        let tap = Tap::start(etcd.addresses[0]).await;
        let client = client(&[tap.address], PATIENT);
        let observed = async {
            let call: Call = calls.recv().await.unwrap();
            call.wire.write(frames::goaway(u32::MAX >> 1, Reason::NO_ERROR));
            call.wire.close();
            let _call: Call = calls.recv().await.unwrap();
            sleep(OBSERVED).await;
        };
        tokio::select! {
            _ = get(&client) => panic!("nobody answered it"),
            () = until(observed) => {}
        }
        assert_eq!(tap.pings(), 6);
    });
}
