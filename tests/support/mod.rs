//! A scripted etcd: servers on 127.0.0.1 whose answers and failures a test writes itself.
//!
//! In: a closure that gets every request as a [`Call`]. Out: addresses for a client, and a record of the requests.
//! Client and servers share the thread of the test.

#![allow(dead_code, reason = "each test uses a part of it")]

mod call;
pub(crate) mod clock;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod line;
mod server;
pub(crate) mod tap;
pub(crate) mod unary;

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use call::Call;
pub(crate) use server::Cluster;
use silly_etcd::etcd::{Address, CallOptions, Client, Config};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use clock::until;

/// A way to fail a request, with its name.
pub(crate) type Fault = (&'static str, fn(&mut Call));

/// One attempt at each server.
pub(crate) const ONCE: CallOptions = CallOptions {
    timeout: Duration::from_secs(5),
    retry: 0,
    retry_sleep: Duration::ZERO,
    ..CallOptions::DEFAULT
};

/// The real etcd of `make test`.
pub(crate) fn etcd() -> SocketAddr {
    let endpoint = std::env::var("ETCD_ENDPOINTS");
    let endpoint = endpoint.unwrap_or_else(|_| panic!("ETCD_ENDPOINTS is not set: use make test"));
    endpoint.parse().unwrap()
}

/// A client of these servers.
pub(crate) fn client(servers: &[SocketAddr], options: CallOptions) -> Client {
    Client::new(config(servers, options))
}

/// What such a client is made from.
pub(crate) fn config(servers: &[SocketAddr], options: CallOptions) -> Config {
    Config {
        options,
        ..Config::new(servers.iter().map(address).collect())
    }
}

/// The same address as the client has it.
pub(crate) fn address(server: &SocketAddr) -> Address {
    server.to_string().parse().unwrap()
}

/// Ports to listen on.
pub(crate) async fn ports(count: usize) -> Vec<TcpListener> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    listeners
}

/// Has `serve` serve each connection to these ports.
pub(crate) fn listen<S>(
    listeners: Vec<TcpListener>,
    serve: impl Fn(usize, TcpStream) -> S + Clone + Send + 'static,
) -> Vec<SocketAddr>
where
    S: Future<Output = ()> + Send + 'static,
{
    let listen = |(server, listener): (usize, TcpListener)| {
        let (address, serve) = (listener.local_addr().unwrap(), serve.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(server, socket));
            }
        });
        address
    };
    listeners.into_iter().enumerate().map(listen).collect()
}

/// A port that refuses connections until it listens.
pub(crate) fn refusing() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// A server that no connection gets through to, for its queue is full. The second value keeps it so.
pub(crate) async fn unreachable() -> (SocketAddr, impl Sized) {
    let socket = refusing();
    let address = socket.local_addr().unwrap();
    let listener = socket.listen(0).unwrap();
    let mut queue = Vec::new();
    // The length of a queue of none is up to the operating system.
    while let Ok(socket) = until(timeout(Duration::from_secs(1), TcpStream::connect(address))).await {
        queue.push(socket.unwrap());
    }
    (address, (listener, queue))
}
