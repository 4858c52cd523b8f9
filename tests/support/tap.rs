//! A way to a server that counts the client's pings and can fall silent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{frames, listen, ports};

const PING: u8 = 6;
const ACK: u8 = 1;

/// Passes everything on in both directions.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    pings: Mutex<Vec<Instant>>,
    /// Connections so far, and how many of them, the first, are dead.
    made: AtomicUsize,
    dead: AtomicUsize,
}

impl Tap {
    /// A way to this server.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let state = Arc::<State>::default();
        let shared = state.clone();
        let pass = move |_, client| {
            let state = shared.clone();
            async move { pass(client, server, &state).await }
        };
        let address = listen(ports(1).await, pass)[0];
        Self { address, state }
    }

    /// How many pings the client has sent, on all connections.
    pub(crate) fn pings(&self) -> usize {
        self.pinged().len()
    }

    /// When they came.
    pub(crate) fn pinged(&self) -> Vec<Instant> {
        self.state.pings.lock().unwrap().clone()
    }

    /// How many connections the client has made.
    pub(crate) fn connections(&self) -> usize {
        self.state.made.load(Ordering::Relaxed)
    }

    /// Has everything that the client sends from now on vanish.
    pub(crate) fn silence(&self) {
        self.state.dead.store(usize::MAX, Ordering::Relaxed);
    }

    /// The same, on the connections that there are; those to come work.
    pub(crate) fn forget(&self) {
        self.state.dead.store(self.connections(), Ordering::Relaxed);
    }
}

async fn pass(client: TcpStream, server: SocketAddr, state: &State) {
    let number = state.made.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(server).await.unwrap();
    // The operating system does not know that the test's clock is fast.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut requests, mut to_client) = client.into_split();
    let (mut answers, mut to_server) = server.into_split();
    let up = async {
        let mut frames = frames::Reader::new();
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = requests.read(&mut bytes).await {
            let found = frames.read(&bytes[..length]).into_iter();
            let pings = found.filter(|frame| frame.kind == PING && frame.flags & ACK == 0);
            state.pings.lock().unwrap().extend(pings.map(|_| Instant::now()));
            let lives = number >= state.dead.load(Ordering::Relaxed);
            if lives && to_server.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = copy(&mut answers, &mut to_client) => {}
    }
}
