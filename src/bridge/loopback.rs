//! A signal for hosts that can watch sockets of their own only: a byte on a connection to 127.0.0.1.
//!
//! In: one connection, which shows the nonce; others are turned away. Out: a line break for each signal, on the
//! thread that gives it. The port is closed once that connection is there, or with the [`Loopback`].

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::runtime::Runtime;

/// Between two attempts to accept a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may take to show the nonce.
const INTRODUCTION: Duration = Duration::from_secs(5);

pub(super) struct Loopback {
    pub(super) port: u16,
    /// What the host has to send first: a local port is open to all users of the machine.
    pub(super) nonce: String,
    /// Held for one write, which does not block.
    host: Arc<Mutex<Option<TcpStream>>>,
    _open: DropGuard,
}

impl Loopback {
    /// Listens on a port of the system's choice.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let nonce = format!("{:016x}{:016x}", secret(), secret());
        let host = Arc::<Mutex<Option<TcpStream>>>::default();
        let closed = CancellationToken::new();
        let (expected, connected, ended) = (nonce.clone(), host.clone(), closed.clone());
        runtime.spawn(Box::pin(async move {
            let accepted = ended.run_until_cancelled(accept(listener, expected.as_bytes())).await;
            if let Some(Ok(stream)) = accepted {
                let mut host = connected.lock().unwrap_or_else(PoisonError::into_inner);
                // Something may have happened before the host was there. Rung under the lock: the host may act on it at
                // once, and the next signal is then for this connection.
                ring(&stream);
                *host = Some(stream);
            }
        }));
        Ok(Self {
            port,
            nonce,
            host,
            _open: closed.drop_guard(),
        })
    }

    /// Gives the signal. One that finds the connection full of signals is not needed.
    pub(super) fn ring(&self) {
        if let Some(host) = &*self.host.lock().unwrap_or_else(PoisonError::into_inner) {
            ring(host);
        }
    }
}

fn ring(host: &TcpStream) {
    // The host may have closed the connection, which must not end in SIGPIPE.
    let _ = send(host.as_raw_fd(), b"\n", MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
}

/// Waits for the connection that shows the nonce.
async fn accept(listener: TcpListener, nonce: &[u8]) -> io::Result<TcpStream> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // There are no descriptors, say.
            sleep(PAUSE).await;
            continue;
        };
        let mut shown = vec![0; nonce.len()];
        if let Ok(Ok(_)) = timeout(INTRODUCTION, stream.read_exact(&mut shown)).await
            && shown == nonce
        {
            stream.set_nodelay(true)?;
            return stream.into_std();
        }
    }
}

/// A number that nobody can guess: the standard library keys its hash tables with the system's randomness.
fn secret() -> u64 {
    RandomState::new().build_hasher().finish()
}
