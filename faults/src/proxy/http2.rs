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

/// What all connections of a proxy obey.
#[derive(Debug, Clone, Copy)]
struct Orders {
    rules: Rules,
    /// Nothing passes from the server.
    hold: bool,
    /// Connections of an earlier generation are cut.
    generation: u64,
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

    /// A frame comes from the client.
    fn client_sent(&mut self, frame: Frame, out: &mut Out);

    /// A frame comes from the server.
    fn server_sent(&mut self, frame: Frame, out: &mut Out);

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
    orders: watch::Sender<Orders>,
    task: AbortHandle,
}

impl Http2Proxy {
    /// A proxy before `target`, by these rules at first.
    pub async fn start(target: u16, rules: Rules) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::cluster::free_port()?)).await?;
        let port = listener.local_addr()?.port();
        let (orders, current) = watch::channel(Orders {
            rules,
            hold: false,
            generation: 0,
        });
        let task = tokio::spawn(serve(listener, ([127, 0, 0, 1], target).into(), current)).abort_handle();
        Ok(Self { port, orders, task })
    }

    /// From now on, on open connections too.
    pub fn rules(&self, rules: Rules) {
        self.orders.send_modify(|orders| orders.rules = rules);
    }

    /// Keeps every answer back from now on.
    pub fn hold(&self) {
        self.orders.send_modify(|orders| orders.hold = true);
    }

    /// Breaks every open connection. New ones are served.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| {
            orders.hold = false;
            orders.generation += 1;
        });
    }
}

impl Drop for Http2Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, orders: watch::Receiver<Orders>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, target, orders.clone()));
    }
}

async fn connection(client: TcpStream, target: SocketAddr, mut orders: watch::Receiver<Orders>) {
    let Orders { rules, generation, .. } = *orders.borrow_and_update();
    let mut cut = orders.clone();
    let pass = async {
        let server = TcpStream::connect(target).await.ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        let rule: Box<dyn Rule> = match rules {
            Rules::Streams(limit) => Box::new(Streams::new(limit)),
            Rules::Goaway => Box::new(Goaway::new()),
        };
        pass(client, server, rule, orders).await
    };
    tokio::select! {
        _ = pass => {}
        _ = cut.wait_for(|orders| orders.generation != generation) => {}
    }
}

/// Moves frames until either side ends or the rule says so.
async fn pass(
    client: TcpStream,
    server: TcpStream,
    mut rule: Box<dyn Rule>,
    mut orders: watch::Receiver<Orders>,
) -> Option<()> {
    let (client_read, mut to_client) = client.into_split();
    let (server_read, mut to_server) = server.into_split();
    let (mut client, mut server) = (Frames::new(client_read), Frames::new(server_read));
    to_server.write_all(&client.preface().await?).await.ok()?;
    let mut out = Out::default();
    while !out.close {
        let (due, hold) = (rule.due(), orders.borrow().hold);
        let alarm = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            frame = client.next() => rule.client_sent(frame?, &mut out),
            frame = server.next(), if !hold => rule.server_sent(frame?, &mut out),
            changed = orders.changed() => {
                changed.ok()?;
                let rules = orders.borrow_and_update().rules;
                rule.ordered(rules, &mut out);
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
