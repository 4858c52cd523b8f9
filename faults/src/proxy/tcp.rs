//! A TCP proxy before one member's client port, and the ways in which a network fails.
//!
//! Bytes pass unchanged until it is told otherwise; every change takes effect on the connections that are open too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::line;

/// What the proxy does to the bytes of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// Nothing.
    #[default]
    Fair,
    /// Holds them back. New connections are accepted, and met with silence.
    Silent,
    /// Passes them on later.
    Delay(Duration, Duration),
    /// Passes on so many a second.
    Throttle(u32),
    /// Passes on so many a second, and later. For new connections, as long as it lasts.
    Line { delay: Duration, rate: u32 },
}

/// What a connection obeys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders {
    pub weather: Weather,
    /// Connections of an earlier generation are cut.
    generation: u64,
    /// And of an earlier one of these, silent for good.
    frozen: u64,
    /// Cut after so many more bytes from the server, per connection.
    truncate: Option<usize>,
    /// One byte in so many is another.
    garble: Option<usize>,
}

/// Gone, with its connections, when it is dropped.
pub struct Proxy {
    pub port: u16,
    orders: Arc<watch::Sender<Orders>>,
    task: AbortHandle,
}

impl Proxy {
    /// A proxy before `target`.
    pub async fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::cluster::free_port()?)).await?;
        let port = listener.local_addr()?.port();
        let orders = Arc::new(watch::Sender::new(Orders::default()));
        let task = tokio::spawn(serve(listener, ([127, 0, 0, 1], target).into(), orders.clone())).abort_handle();
        Ok(Self { port, orders, task })
    }

    /// From now on.
    pub fn weather(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Breaks every open connection.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.generation += 1);
    }

    /// Silences every open connection for good. New ones are served.
    pub fn freeze(&self) {
        self.orders.send_modify(|orders| orders.frozen += 1);
    }

    /// Breaks every connection after `bytes` more from the server; `None`: no more.
    pub fn truncate(&self, bytes: Option<usize>) {
        self.orders.send_modify(|orders| orders.truncate = bytes);
    }

    /// Changes about one byte in so many; `None`: none.
    pub fn garble(&self, every: Option<usize>) {
        self.orders.send_modify(|orders| orders.garble = every);
    }

    /// Lets everything pass.
    pub fn heal(&self) {
        self.weather(Weather::Fair);
        self.truncate(None);
        self.garble(None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, orders: Arc<watch::Sender<Orders>>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, target, orders.subscribe()));
    }
}

async fn connection(client: TcpStream, target: SocketAddr, mut orders: watch::Receiver<Orders>) {
    let Orders {
        generation,
        frozen,
        weather,
        ..
    } = *orders.borrow_and_update();
    let mut cut = orders.clone();
    let pass = async {
        orders.wait_for(|orders| orders.weather != Weather::Silent).await.ok()?;
        let server = TcpStream::connect(target).await.ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        // Whoever is cut learns it by a reset or by an end, as it comes.
        if fastrand::bool() {
            let _ = client.set_zero_linger();
        }
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        if matches!(weather, Weather::Line { .. }) {
            tokio::select! {
                () = line::pass(client_read, server_write, orders.clone()) => {}
                () = line::pass(server_read, client_write, orders) => {}
            }
            return Some(());
        }
        tokio::select! {
            () = copy(client_read, server_write, orders.clone(), frozen, false) => {}
            () = copy(server_read, client_write, orders.clone(), frozen, true) => {}
        }
        Some(())
    };
    tokio::select! {
        _ = pass => {}
        _ = cut.wait_for(|orders| orders.generation != generation) => {}
    }
}

/// Moves bytes until either side ends or the connection is truncated.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: watch::Receiver<Orders>,
    frozen: u64,
    from_server: bool,
) {
    let mut buffer = vec![0; 16 << 10];
    let mut left = None;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let read = Instant::now();
        let Ok(now) = orders
            .wait_for(|orders| orders.weather != Weather::Silent && orders.frozen == frozen)
            .await
            .map(|orders| *orders)
        else {
            return;
        };
        match now.weather {
            Weather::Fair | Weather::Silent | Weather::Line { .. } => {}
            Weather::Delay(least, most) => {
                let delay = least + (most.saturating_sub(least)).mul_f64(fastrand::f64());
                sleep_until(read + delay).await;
            }
            Weather::Throttle(rate) => sleep(Duration::from_secs_f64(count as f64 / f64::from(rate))).await,
        }
        left = if from_server {
            now.truncate.map(|limit| left.unwrap_or(limit))
        } else {
            None
        };
        if let Some(every) = now.garble
            && fastrand::usize(..every) < count
        {
            buffer[fastrand::usize(..count)] ^= 1 << fastrand::u8(..8);
        }
        let passed = left.map_or(count, |left: usize| left.min(count));
        if to.write_all(&buffer[..passed]).await.is_err() || passed < count {
            return;
        }
        left = left.map(|left| left - passed);
    }
}
