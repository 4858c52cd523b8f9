//! A handshake that the server does not finish passes; a verdict is final.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use silly_etcd::etcd::{Applied, Code};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{PATIENT, acceptor, client, terminate};
use super::support::unary::{answer, outcome, put};
use super::support::{Cluster, ONCE, frames, listen, ports};

/// How a server ends a connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
}

/// A server that ends its first two connections after so many flights of its own.
async fn cut(version: &'static SupportedProtocolVersion, flights: usize, end: End) {
    let etcd = Cluster::start(1, answer).await;
    let behind = terminate(acceptor(&[version], &[b"h2"]), &etcd).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let serve = move |_, mut socket: TcpStream| {
        let connections = connections.clone();
        async move {
            let mut server = TcpStream::connect(behind).await.unwrap();
            if connections.fetch_add(1, Ordering::Relaxed) >= 2 {
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut server).await;
                return;
            }
            let mut bytes = vec![0; 64 << 10];
            for _ in 0..flights {
                let length = socket.read(&mut bytes).await.unwrap();
                server.write_all(&bytes[..length]).await.unwrap();
                let length = server.read(&mut bytes).await.unwrap();
                socket.write_all(&bytes[..length]).await.unwrap();
            }
            let _ = socket.read(&mut bytes).await;
            if let End::Reset = end {
                socket.set_zero_linger().unwrap();
            }
        }
    };
    let front = listen(ports(1).await, serve)[0];
    let answer = put(&client(front, PATIENT)).await;
    assert_eq!(outcome(answer), Ok(()), "{version:?} {flights} {end:?}");
}

#[tokio::test]
async fn a_server_that_breaks_off_is_asked_again() {
    for version in [&TLS12, &TLS13] {
        for flights in 0..=1 {
            for end in [End::Close, End::Reset] {
                cut(version, flights, end).await;
            }
        }
    }
}

/// A server that answers each connection with these bytes, and how many came.
async fn saying(bytes: &'static [u8]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    let serve = move |_, mut socket: TcpStream| {
        connections.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(bytes).await;
        }
    };
    (listen(ports(1).await, serve)[0], count)
}

/// A fatal alert.
macro_rules! alert {
    ($description:literal) => {
        &[21, 3, 3, 0, 2, 2, $description]
    };
}

#[tokio::test]
async fn an_end_without_a_word_is_told_as_one() {
    for (version, preface) in [(&TLS12, false), (&TLS13, false), (&TLS12, true), (&TLS13, true)] {
        let acceptor = acceptor(&[version], &[b"h2"]);
        let serve = move |_, socket: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                let mut socket = acceptor.accept(socket).await.unwrap();
                if preface {
                    socket.write_all(&frames::settings(None)).await.unwrap();
                    socket.flush().await.unwrap();
                }
                let (mut bare, _) = socket.into_inner();
                bare.shutdown().await.unwrap();
                // Until the client has gone: unread bytes would reset the connection.
                let _ = tokio::io::copy(&mut bare, &mut tokio::io::sink()).await;
            }
        };
        let server = listen(ports(1).await, serve)[0];
        let error = put(&client(server, ONCE)).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "{error}");
        assert!(!error.to_string().contains("close_notify"), "{error}");
        assert!(error.to_string().contains("closed"), "{error}");
    }
}

#[tokio::test]
async fn a_verdict_is_final() {
    for (bytes, text) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "the server does not speak TLS",
        ),
        (alert!(40), "no algorithm in common"),
        (alert!(42), "refuses the client's certificate, or wants one"),
        (alert!(48), "does not know who signed the client's certificate"),
        (alert!(70), "neither TLS 1.2 nor TLS 1.3"),
        (alert!(112), "set 'servername'"),
        (alert!(120), "does not speak HTTP/2 (ALPN h2)"),
    ] {
        let (server, connections) = saying(bytes).await;
        let error = put(&client(server, PATIENT)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::Tls, Applied::No), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{error}");
    }
}

#[tokio::test]
async fn a_problem_of_the_servers_own_passes() {
    for (bytes, text) in [
        (
            &b""[..],
            "closed the connection during the TLS handshake: does it speak TLS?",
        ),
        (alert!(80), "the server failed in the TLS handshake"),
    ] {
        let (server, _) = saying(bytes).await;
        let error = put(&client(server, ONCE)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::Unavailable, Applied::No), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}
