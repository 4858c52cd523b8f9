//! Who is let in, and what a nonce is worth.

#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::libc;
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::*;

const NONCE: &[u8] = b"nonce";

/// Time enough for what needs no time: the clock stands still meanwhile.
async fn patience() {
    for _ in 0..100_000 {
        yield_now().await;
    }
}

#[test]
fn connections_that_say_nothing_delay_nobody() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let silent: Vec<_> = (0..=GUESTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut host = TcpStream::connect(address).unwrap();
    host.write_all(NONCE).unwrap();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        tokio::select! {
            accepted = accept(listener, NONCE) => {
                assert_eq!(accepted.unwrap().peer_addr().unwrap(), host.local_addr().unwrap());
            }
            () = patience() => panic!("the host is kept waiting"),
        }
    });
    drop(silent);
}

/// A nonce that a forked child has made.
fn forked() -> String {
    let (mut from, mut to) = io::pipe().unwrap();
    // SAFETY: the child makes a nonce, writes it and ends, without the parent's locks.
    if unsafe { libc::fork() } == 0 {
        let written = secret().is_ok_and(|nonce| to.write_all(nonce.as_bytes()).is_ok());
        // SAFETY: nothing of the parent's is to run at its end.
        unsafe { libc::_exit((!written).into()) };
    }
    drop(to);
    let mut nonce = String::new();
    from.read_to_string(&mut nonce).unwrap();
    nonce
}

#[test]
fn forked_children_have_nonces_of_their_own() {
    let nonces = [secret().unwrap(), forked(), forked()];
    assert!(nonces.iter().all(|nonce| nonce.len() == 32));
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
}
