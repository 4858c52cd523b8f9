//! The race between the addresses of a host, of which some may be dead.
//!
//! In: a name and a port, and how to connect to an address. Out: the first connection that is ready to be used: an
//! address that takes TCP and then says nothing, or fails in TLS, does not win. Runs on the runtime; nothing goes on when
//! the caller stops waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep_until};

use super::connection::ConnectError;

/// By so much an address is tried before the next, as RFC 8305 has it.
const HEAD_START: Duration = Duration::from_millis(250);

/// After so long all addresses are tried once more beside the attempts that go on: a slow line needs its time, and a
/// server that has come back would wait for TCP to repeat itself.
const ROUND: Duration = Duration::from_secs(5);

/// The addresses of a host, those behind `last` first: that one has failed.
pub(super) async fn lookup(host: &str, port: u16, last: Option<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    if let Some(at) = addresses.iter().position(|address| Some(*address) == last) {
        addresses.rotate_left(at + 1);
    }
    Ok(addresses)
}

/// Connects to the addresses in their order, each a little after the one before, and as soon as all others have failed.
/// The error is the one that leaves the most hope, and of several such the last.
pub(super) async fn race<C, T>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> C) -> Result<T, ConnectError>
where
    C: Future<Output = Result<T, ConnectError>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    let mut untried = addresses.iter();
    let mut round = Instant::now() + ROUND;
    let mut next = Instant::now();
    loop {
        if attempts.is_empty() || next <= Instant::now() {
            match untried.next() {
                Some(address) => {
                    attempts.push(connect(*address));
                    next = Instant::now() + HEAD_START;
                }
                None if attempts.is_empty() => {
                    let none = || ConnectError::Socket("the name has no address".into());
                    return Err(failure.unwrap_or_else(none));
                }
                None => next = round,
            }
        }
        if round <= Instant::now() {
            (untried, round) = (addresses.iter(), Instant::now() + ROUND);
            continue;
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    failure = Some(worse(failure, error));
                    next = Instant::now();
                }
            },
            () = sleep_until(next) => {}
        }
    }
}

/// Of two errors the one that another attempt may get past.
fn worse(before: Option<ConnectError>, error: ConnectError) -> ConnectError {
    match (before, error) {
        (Some(ConnectError::Socket(text)), ConnectError::Tls(_)) => ConnectError::Socket(text),
        (_, error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::*;

    fn socket() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    #[tokio::test]
    async fn an_address_that_is_dead_does_not_hide_the_next() {
        let refusing = socket();
        let (refuses, silent) = (refusing.local_addr().unwrap(), socket());
        let swallows = silent.local_addr().unwrap();
        let _listener = silent.listen(0).unwrap();
        // The length of a queue of none is up to the operating system.
        let mut queue = Vec::new();
        while let Ok(waiting) = timeout(Duration::from_millis(500), TcpStream::connect(swallows)).await {
            queue.push(waiting.unwrap());
        }
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lives = living.local_addr().unwrap();
        let connect = |address| async move { Ok(TcpStream::connect(address).await?) };
        for dead in [refuses, swallows] {
            let socket = race(&[dead, lives], connect).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), lives);
        }
        let refused = race(&[refuses, refuses], connect).await.unwrap_err();
        assert_eq!(refused, ConnectError::Socket("connection refused".into()));
        assert!(race(&[], connect).await.is_err());
    }
}
