//! A proxy before one member's client port that speaks HTTP/2: it passes frames on by a rule, which may also answer,
//! drop or add some.
//!
//! A [`Rule`] is asked about every frame and has no socket: what is to be sent is put into [`Out`].

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{Frame, Frames};
use super::goaway::Goaway;
use super::streams::Streams;

/// How long a client may take to notice that its connection is over.
const LINGER: Duration = Duration::from_secs(2);

/// Which rule is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Connections end soon. For new ones.
    Goaway,
    /// So many streams at once, on each connection; on open ones too that had such a limit.
    Streams(u32),
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Out {
    pub to_client: BytesMut,
    pub to_server: BytesMut,
    /// The connection is over then.
    pub close: bool,
}

/// What decides about the frames of one connection.
pub trait Rule: Send {
    /// These rules are in force from now on.
    fn ordered(&mut self, _rules: Rules, _out: &mut Out) {}

    fn from_client(&mut self, frame: Frame, out: &mut Out);

    fn from_server(&mut self, frame: Frame, out: &mut Out);

    /// When it wants to be asked though no frame has come.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// It is due.
    fn tick(&mut self, _out: &mut Out) {}
}

/// Gone, with its connections, when it is dropped.
pub struct Http2Proxy {
    pub port: u16,
    rules: watch::Sender<Rules>,
    task: AbortHandle,
}

impl Http2Proxy {
    /// A proxy before `target`, by these rules at first.
    pub async fn start(target: u16, rules: Rules) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::cluster::free_port()?)).await?;
        let port = listener.local_addr()?.port();
        let (rules, current) = watch::channel(rules);
        let task = tokio::spawn(serve(listener, ([127, 0, 0, 1], target).into(), current)).abort_handle();
        Ok(Self { port, rules, task })
    }

    /// From now on, on open connections too.
    pub fn rules(&self, rules: Rules) {
        self.rules.send_modify(|current| *current = rules);
    }
}

impl Drop for Http2Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, rules: watch::Receiver<Rules>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, target, rules.clone()));
    }
}

async fn connection(client: TcpStream, target: SocketAddr, mut rules: watch::Receiver<Rules>) -> Option<()> {
    let server = TcpStream::connect(target).await.ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    let now = *rules.borrow_and_update();
    let rule: Box<dyn Rule> = match now {
        Rules::Streams(limit) => Box::new(Streams::new(limit)),
        Rules::Goaway => Box::new(Goaway::new()),
    };
    pass(client, server, rule, rules).await
}

/// Moves frames until either side ends or the rule says so.
async fn pass(
    client: TcpStream,
    server: TcpStream,
    mut rule: Box<dyn Rule>,
    mut rules: watch::Receiver<Rules>,
) -> Option<()> {
    let (client_read, mut to_client) = client.into_split();
    let (server_read, mut to_server) = server.into_split();
    let (mut client, mut server) = (Frames::new(client_read), Frames::new(server_read));
    to_server.write_all(&client.preface().await?).await.ok()?;
    let mut out = Out::default();
    while !out.close {
        let due = rule.due();
        let alarm = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            frame = client.next() => rule.from_client(frame?, &mut out),
            frame = server.next() => rule.from_server(frame?, &mut out),
            changed = rules.changed() => {
                changed.ok()?;
                let now = *rules.borrow_and_update();
                rule.ordered(now, &mut out);
            }
            () = alarm => rule.tick(&mut out),
        }
        to_client.write_all_buf(&mut out.to_client).await.ok()?;
        to_server.write_all_buf(&mut out.to_server).await.ok()?;
    }
    // A reset would overtake what was sent last.
    drop((server, to_server));
    to_client.shutdown().await.ok()?;
    let _ = timeout(LINGER, client.drain()).await;
    Some(())
}
