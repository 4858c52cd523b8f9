//! A server that speaks in frames: it sends what a test says, and tells which requests come.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{frames, listen, ports};

const HEADERS: u8 = 1;

/// A connection to such a server. It is closed when this is dropped.
pub(crate) struct Line {
    sent: UnboundedSender<Vec<u8>>,
    opened: UnboundedReceiver<u32>,
}

impl Line {
    /// A server that begins each connection with these bytes, and the connections that are made to it.
    pub(crate) async fn listen(first: Vec<u8>) -> (SocketAddr, UnboundedReceiver<Self>) {
        let (lines, made) = unbounded_channel();
        let serve = move |_, socket| {
            let (sent, sending) = unbounded_channel();
            let (opening, opened) = unbounded_channel();
            sent.send(first.clone()).unwrap();
            lines.send(Self { sent, opened }).unwrap_or_default();
            serve(socket, sending, opening)
        };
        (listen(ports(1).await, serve)[0], made)
    }

    pub(crate) fn write(&self, bytes: impl Into<Vec<u8>>) {
        self.sent.send(bytes.into()).unwrap_or_default();
    }

    /// The stream of the next request.
    pub(crate) async fn request(&mut self) -> Option<u32> {
        self.opened.recv().await
    }

    /// Answers a call with an empty message.
    pub(crate) fn answer(&self, stream: u32) {
        self.write(
            [
                frames::headers(stream),
                frames::data(stream, &[0; 5]),
                frames::trailers(stream),
            ]
            .concat(),
        );
    }
}

async fn serve(mut socket: TcpStream, mut sending: UnboundedReceiver<Vec<u8>>, opening: UnboundedSender<u32>) {
    // The operating system does not know that the test's clock is fast.
    socket.set_nodelay(true).unwrap();
    let mut frames = frames::Reader::new();
    let mut bytes = [0; 4096];
    loop {
        tokio::select! {
            sent = sending.recv() => match sent {
                Some(bytes) => drop(socket.write_all(&bytes).await),
                None => return,
            },
            length = socket.read(&mut bytes) => {
                let Ok(length @ 1..) = length else { return };
                for request in frames.read(&bytes[..length]).iter().filter(|frame| frame.kind == HEADERS) {
                    opening.send(request.stream).unwrap_or_default();
                }
            }
        }
    }
}
