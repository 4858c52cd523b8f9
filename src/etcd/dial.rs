//! A connection to a host that may have several addresses, of which some may be dead.
//!
//! In: a name and a port. Out: a socket, connected to the address that was the first to take the connection. Runs on the
//! runtime; nothing goes on when the caller stops waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// By so much an address is tried before the next, as RFC 8305 has it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to a host.
pub(super) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    race(lookup_host((host, port)).await?).await
}

/// Connects to one of these addresses. The error is the last one's.
async fn race(mut addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::other("the name has no address");
    loop {
        let next = addresses.next();
        if next.is_none() && attempts.is_empty() {
            return Err(failure);
        }
        attempts.extend(next.map(TcpStream::connect));
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            },
            () = sleep(HEAD_START), if next.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    fn socket() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    #[tokio::test]
    async fn c6_an_address_that_is_dead_does_not_hide_the_next() {
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
        for dead in [refuses, swallows] {
            let socket = race([dead, lives].into_iter()).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), lives);
        }
        let refused = race([refuses, refuses].into_iter()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(race([].into_iter()).await.is_err());
    }
}
