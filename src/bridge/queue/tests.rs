//! What comes out of a queue, and how whoever waits hears of it.

#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

fn next<T: Send + 'static>(bridge: &Bridge<T>) -> (u64, T) {
    loop {
        if let Some(result) = bridge.take() {
            return result;
        }
        bridge.wait(None, None).unwrap();
    }
}

#[test]
fn every_result_comes_out_once_under_its_id() {
    let bridge = Bridge::new().unwrap();
    let mut ids: Vec<_> = (0..1000)
        .map(|i| (bridge.submit(async move { i }, || -1).unwrap(), i))
        .collect();
    let mut results: Vec<_> = (0..1000).map(|_| next(&bridge)).collect();
    ids.sort_unstable();
    results.sort_unstable();
    assert_eq!(results, ids);
    assert_eq!(bridge.take(), None);
}

#[test]
fn p1_a_panic_is_a_result() {
    let bridge = Bridge::new().unwrap();
    let id = bridge.submit(async { panic!("on purpose") }, || "panicked").unwrap();
    assert_eq!(next(&bridge), (id, "panicked"));
}

#[test]
fn p1_an_operation_that_is_dropped_has_a_result_too() {
    let bridge = Bridge::new().unwrap();
    let completed = bridge.completed.get().unwrap().clone();
    drop(Pending {
        completed,
        runtime: Runtime::get().unwrap(),
        id: 7,
        result: None,
        panicked: || "panicked",
    });
    assert_eq!(bridge.take(), Some((7, "panicked")));
}

#[test]
fn p4_whoever_waits_looks_again_after_a_result_was_taken() {
    let bridge = Bridge::new().unwrap();
    bridge.submit(async {}, || ()).unwrap();
    next(&bridge);
    bridge.wait(None, None).unwrap();
    bridge.wait(None, Some(0)).unwrap();
}

#[test]
fn whoever_knows_of_all_that_were_taken_waits() {
    let bridge = Bridge::new().unwrap();
    bridge.submit(async {}, || ()).unwrap();
    next(&bridge);
    let later = async { tokio::time::sleep(Duration::from_millis(50)).await };
    bridge.submit(later, || ()).unwrap();
    let known = Some(bridge.taken());
    let mut waits = 0;
    while bridge.take().is_none() {
        bridge.wait(None, known).unwrap();
        waits += 1;
    }
    // More than one where a signal came.
    assert!((1..10).contains(&waits), "{waits}");
}

#[test]
fn p2_a_result_that_is_put_back_is_the_next() {
    let bridge = Bridge::new().unwrap();
    bridge.submit(async { 1 }, || -1).unwrap();
    let (id, result) = next(&bridge);
    bridge.put_back(id, result);
    assert_eq!(next(&bridge), (id, 1));
    assert_eq!(bridge.take(), None);
}

#[test]
fn its_descriptor_is_readable_while_there_are_results() {
    let bridge = Bridge::new().unwrap();
    let readable = || {
        let descriptor = bridge.descriptor().unwrap();
        // SAFETY: the bridge lives for longer.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], PollTimeout::NONE) == Ok(1)
    };
    bridge.submit(async {}, || ()).unwrap();
    assert!(readable());
    assert!(bridge.take().is_some() && bridge.take().is_none());
    bridge.poke();
    assert!(readable());
    assert!(bridge.take().is_none());
}

#[test]
fn a_port_signals_to_whoever_shows_the_nonce() {
    let bridge = Bridge::new().unwrap();
    let (port, nonce) = bridge.port().unwrap();
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(&[b'0'; 32]).unwrap();
    assert_eq!(stranger.read(&mut [0]).unwrap(), 0, "is turned away");
    let mut host = TcpStream::connect(("127.0.0.1", port)).unwrap();
    host.write_all(nonce.as_bytes()).unwrap();
    let mut signal = [0];
    for round in 0..3 {
        host.read_exact(&mut signal).unwrap();
        assert_eq!(signal, *b"\n");
        assert_eq!(
            bridge.take().is_some(),
            round > 0,
            "the first says only that it is heard"
        );
        bridge.submit(async {}, || ()).unwrap();
    }
    drop(bridge);
    while host.read(&mut signal).unwrap() > 0 {}
}

#[test]
fn p2_a_result_that_is_put_back_is_signalled_again() {
    let bridge = Bridge::new().unwrap();
    let (port, nonce) = bridge.port().unwrap();
    let mut host = TcpStream::connect(("127.0.0.1", port)).unwrap();
    host.write_all(nonce.as_bytes()).unwrap();
    let mut signal = [0];
    host.read_exact(&mut signal).unwrap();
    for id in [1, 2] {
        let completed = bridge.completed.get().unwrap();
        completed.push(Runtime::get().unwrap(), id, ());
    }
    host.read_exact(&mut signal).unwrap();
    let (id, result) = bridge.take().unwrap();
    bridge.put_back(id, result);
    host.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    host.read_exact(&mut signal).unwrap();
}

#[test]
fn p3_a_bridge_dropped_with_operations_under_way_leaves_nothing_behind() {
    let bridge = Bridge::new().unwrap();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    bridge.submit(async { drop(finished.await) }, || ()).unwrap();
    let completed = Arc::downgrade(bridge.completed.get().unwrap());
    drop(bridge);
    finish.send(()).unwrap();
    while completed.strong_count() > 0 {
        std::thread::yield_now();
    }
}
