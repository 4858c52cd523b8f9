//! A signal for hosts that can watch sockets of their own only: a byte on a connection to 127.0.0.1.
//!
//! In: connections, of which one shows the nonce; others are turned away, and none has to wait for another. Out: a line
//! break for each signal, on the thread that gives it. The port is closed once that connection is there, or with the
//! [`Loopback`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::runtime::Runtime;

/// Between two attempts to accept a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may take to show the nonce.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// How many connections may be about to. Each holds a descriptor of the host's, and any user of the machine can make
/// them; with one more the oldest is turned away, since the host shows the nonce at once.
const GUESTS: usize = 16;

pub(super) struct Loopback {
    pub(super) port: u16,
    /// What the host has to send first: a local port is open to all users of the machine.
    pub(super) nonce: String,
    bell: Bell,
    _open: DropGuard,
}

/// Gives the signal. There is a connection once the host has shown the nonce.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<OnceLock<std::net::TcpStream>>);

/// A connection that is about to show the nonce. `None`: it has shown something else, or nothing.
type Introduction<'a> = Pin<Box<dyn Future<Output = Option<TcpStream>> + Send + 'a>>;

impl Loopback {
    /// Listens on a port of the system's choice.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let nonce = secret()?;
        let closed = CancellationToken::new();
        let bell = Bell::default();
        let (expected, connected, ended) = (nonce.clone(), bell.clone(), closed.clone());
        runtime.spawn(Box::pin(async move {
            let accepted = ended.run_until_cancelled(accept(listener, expected.as_bytes())).await;
            if let Some(Ok(stream)) = accepted {
                connected.connect(stream);
            }
        }));
        Ok(Self {
            port,
            nonce,
            bell,
            _open: closed.drop_guard(),
        })
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }
}

impl Bell {
    /// Gives the signal. One that finds the connection full of signals is not needed.
    pub(super) fn ring(&self) {
        if let Some(host) = self.0.get() {
            // The host may have closed the connection, which must not end in SIGPIPE.
            let _ = send(host.as_raw_fd(), b"\n", MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
        }
    }

    /// Something may have happened before the host was there, so it gets a signal at once.
    fn connect(&self, host: std::net::TcpStream) {
        // Nobody else connects.
        let _ = self.0.set(host);
        self.ring();
    }
}

/// Waits for the connection that shows the nonce.
async fn accept(listener: TcpListener, nonce: &[u8]) -> io::Result<std::net::TcpStream> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut guests = VecDeque::<Introduction<'_>>::new();
    loop {
        tokio::select! {
            biased;
            host = introduced(&mut guests) => {
                host.set_nodelay(true)?;
                return host.into_std();
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if guests.len() == GUESTS {
                        guests.pop_front();
                    }
                    guests.push_back(Box::pin(introduction(stream, nonce)));
                }
                // There are no descriptors, say.
                Err(_) => sleep(PAUSE).await,
            },
        }
    }
}

/// Waits until one of them has shown the nonce, and turns away those that fail to.
async fn introduced(guests: &mut VecDeque<Introduction<'_>>) -> TcpStream {
    poll_fn(|context| {
        let mut host = None;
        guests.retain_mut(|guest| match guest.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(shown) => {
                host = host.take().or(shown);
                false
            }
        });
        host.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

async fn introduction(mut stream: TcpStream, nonce: &[u8]) -> Option<TcpStream> {
    let mut shown = vec![0; nonce.len()];
    timeout(INTRODUCTION, stream.read_exact(&mut shown)).await.ok()?.ok()?;
    // To the end, so that the time it takes does not tell how much of it was right.
    let wrong = shown.iter().zip(nonce).fold(0, |wrong, (a, b)| wrong | (a ^ b));
    (wrong == 0).then_some(stream)
}

/// What nobody can guess, and no forked process repeats: from the operating system.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
