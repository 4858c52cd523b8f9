//! Which connections are kept, and for how long a server counts as gone.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use super::*;

/// A server that says that it speaks HTTP/2 and no more, at the address of `endpoint`.
async fn listen() -> (Endpoint, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (Endpoint::at(address, None, &Arc::default()), listener)
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
async fn a_server_that_was_let_go_of_keeps_no_connection() {
    let (endpoint, listener) = listen().await;
    let (first, mut socket) = join!(endpoint.connect(None), accept(&listener));
    endpoint.disconnect();
    assert!(endpoint.connected(Instant::now()).is_none());
    drop(first);
    // To its end, since nobody holds the other.
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    // A caller that had come as far as this when it was let go of.
    let (second, mut socket) = join!(endpoint.connect(None), accept(&listener));
    assert!(endpoint.connected(Instant::now()).is_none());
    drop(second);
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

#[test]
fn a_server_is_left_for_longer_each_time_it_fails_again() {
    let mut lapse = Lapse::default();
    let mut now = Instant::now();
    assert!(!lapse.lasts(now));
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        // Many calls that fail together are one failure.
        for _ in 0..100 {
            lapse.add(now);
        }
        now += Duration::from_secs(seconds) - Duration::from_millis(1);
        assert!(lapse.lasts(now), "{seconds} s");
        now += Duration::from_millis(1);
        assert!(!lapse.lasts(now), "{seconds} s");
    }
    now += FORGIVEN;
    lapse.add(now);
    assert!(!lapse.lasts(now + LAPSE));
}
