//! A server of bytes: what it sends is no answer, and may be no HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::support::{frames, listen, ports};

const HEADERS: u8 = 1;

/// What may come after the first bytes.
#[derive(Clone)]
pub(crate) enum Then {
    Silence,
    /// The end of the connection, once the client has sent something.
    End,
    /// The same again and again.
    Flood(Vec<u8>),
    /// Likewise, and nothing more is read.
    Deaf(Vec<u8>),
    /// A byte a second.
    Trickle(Vec<u8>),
}

/// What a server sends.
#[derive(Clone)]
pub(crate) struct Bytes {
    /// At once.
    pub(crate) first: Vec<u8>,
    /// Once a request has come.
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) then: Then,
}

/// A server that sends this on every connection.
pub(crate) async fn hostile(bytes: Bytes) -> SocketAddr {
    let serve = move |_, socket| send(socket, bytes.clone());
    listen(ports(1).await, serve)[0]
}

async fn send(socket: TcpStream, bytes: Bytes) {
    let (mut from, mut to) = socket.into_split();
    let requested = Notify::new();
    let is_deaf = matches!(bytes.then, Then::Deaf(_));
    let sending = async {
        to.write_all(&bytes.first).await?;
        if let Some(answer) = bytes.answer {
            requested.notified().await;
            to.write_all(&answer).await?;
        }
        match bytes.then {
            Then::Silence => {}
            Then::End => return Ok(()),
            Then::Flood(bytes) | Then::Deaf(bytes) => loop {
                to.write_all(&bytes).await?;
            },
            Then::Trickle(bytes) => {
                for byte in bytes {
                    to.write_all(&[byte]).await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let mut frames = frames::Reader::new();
    let mut bytes = [0; 1024];
    // A socket that is closed with bytes unread takes back what it has sent.
    let length = from.read(&mut bytes).await.unwrap_or(0);
    frames.read(&bytes[..length]);
    let reading = async {
        if is_deaf {
            std::future::pending::<()>().await;
        }
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            if frames.read(&bytes[..length]).iter().any(|frame| frame.kind == HEADERS) {
                requested.notify_one();
            }
        }
    };
    tokio::select! {
        _ = sending => {}
        () = reading => {}
    }
}

/// A server that answers each request, by the id of its stream, with these bytes.
pub(crate) async fn answering(answer: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
    let serve = move |_, mut socket: TcpStream| {
        let answer = answer.clone();
        async move {
            // The operating system does not know that the test's clock is fast.
            socket.set_nodelay(true).unwrap();
            let mut frames = frames::Reader::new();
            let mut bytes = [0; 4096];
            // The client may break the connection as it likes.
            let _ = socket.write_all(&frames::settings(None)).await;
            while let Ok(length @ 1..) = socket.read(&mut bytes).await {
                for head in frames.read(&bytes[..length]) {
                    if head.kind == HEADERS {
                        let _ = socket.write_all(&answer(head.stream)).await;
                    }
                }
            }
        }
    };
    listen(ports(1).await, serve)[0]
}
