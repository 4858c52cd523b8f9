//! Which server is asked, and which connections are kept.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use super::*;

fn endpoints(count: usize) -> Endpoints {
    let address = |i: usize| Address::Tcp {
        host: "h".to_owned(),
        port: i as u16 + 1,
    };
    Endpoints::new(
        (0..count).map(address).collect(),
        None,
        &Arc::default(),
        &CancellationToken::new(),
        &Arc::default(),
    )
}

#[test]
fn a_route_visits_each_server_once_before_it_repeats_one() {
    let endpoints = endpoints(3);
    let mut route = endpoints.route(None);
    let mut seen = vec![route.endpoint().name.clone()];
    while route.advance() {
        seen.push(route.endpoint().name.clone());
    }
    seen.sort();
    assert_eq!(seen, ["h:1", "h:2", "h:3"].map(Arc::from));
    assert!(!route.advance());
}

#[test]
fn the_server_that_answered_is_asked_first() {
    let endpoints = endpoints(3);
    let mut route = endpoints.route(None);
    route.advance();
    route.keep();
    assert_eq!(endpoints.route(None).endpoint().name, route.endpoint().name);
}

#[test]
fn a_server_of_another_cluster_is_refused_until_the_others_are_gone() {
    let endpoints = endpoints(2);
    let [old, new] = &endpoints.list[..] else { panic!() };
    assert!(endpoints.recognise(old, 1).is_ok());
    assert!(endpoints.recognise(new, 2).is_err());
    old.slot().failures = GONE - 1;
    assert!(endpoints.recognise(new, 2).is_err());
    old.slot().failures = GONE;
    assert!(endpoints.recognise(new, 2).is_ok());
    assert!(endpoints.recognise(new, 2).is_ok());
}

/// A server that says that it speaks HTTP/2 and no more, at the address of `endpoint`.
async fn listen() -> (Endpoint, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (
        Endpoint::new(address, None, Arc::default(), CancellationToken::new(), Arc::default()),
        listener,
    )
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    socket.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    socket
}

#[tokio::test]
async fn a_server_that_is_reached_again_is_not_gone_and_is_tried_at_once_when_it_breaks() {
    let (endpoint, listener) = listen().await;
    endpoint.slot().failures = GONE;
    assert!(endpoint.slot().is_gone());
    let (connected, socket) = join!(endpoint.connect(None), accept(&listener));
    connected.unwrap();
    assert!(!endpoint.slot().is_gone());
    drop(socket);
    while endpoint.connected(Instant::now()).is_some() {
        yield_now().await;
    }
    let (connected, _socket) = join!(endpoint.connect(None), accept(&listener));
    connected.unwrap();
    assert_eq!(endpoint.slot().failures, 0);
}

#[tokio::test]
async fn a_closed_client_keeps_no_connection() {
    let (endpoint, listener) = listen().await;
    let endpoints = Endpoints {
        list: vec![endpoint.into()],
        current: AtomicUsize::new(0),
        cluster_id: AtomicU64::new(0),
    };
    let endpoint = &endpoints.list[0];
    let (first, mut socket) = join!(endpoint.connect(None), accept(&listener));
    endpoints.disconnect();
    assert!(endpoint.connected(Instant::now()).is_none());
    drop(first);
    // To its end, since nobody holds the other.
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    // Whoever had come as far as this when it was closed.
    let (second, mut socket) = join!(endpoint.connect(None), accept(&listener));
    assert!(endpoint.connected(Instant::now()).is_none());
    drop(second);
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}
