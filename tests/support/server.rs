//! Servers that speak HTTP/2, and break it when they are told to.

use std::future::{Ready, poll_fn, ready};
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};

use h2::{Ping, Reason};
use http::HeaderMap;
use silly_etcd::etcd::{CallOptions, Client};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::clock::until;
use super::{Call, client, frames, listen, ports};

/// Some servers, and the requests that they got.
pub(crate) struct Cluster {
    pub(crate) addresses: Vec<SocketAddr>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that came.
#[derive(Clone)]
pub(crate) struct Seen {
    /// The server that was asked.
    pub(crate) server: usize,
    /// The last part of the path.
    pub(crate) method: String,
    pub(crate) metadata: HeaderMap,
    /// The id of its HTTP/2 stream.
    pub(crate) stream: u32,
    pub(crate) at: Instant,
}

impl Cluster {
    /// Starts servers that have `script` answer each request.
    pub(crate) async fn start<S>(servers: usize, script: impl Fn(Call) -> S + Clone + Send + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self::on(ports(servers).await, script)
    }

    /// One server that allows so many streams at once on a connection.
    pub(crate) async fn limited<S>(streams: u32, script: impl Fn(Call) -> S + Clone + Send + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self::serving(ports(1).await, Some(streams), script)
    }

    /// The same on ports of the test's choice.
    pub(crate) fn on<S>(listeners: Vec<TcpListener>, script: impl Fn(Call) -> S + Clone + Send + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self::serving(listeners, None, script)
    }

    fn serving<S>(
        listeners: Vec<TcpListener>,
        streams: Option<u32>,
        script: impl Fn(Call) -> S + Clone + Send + 'static,
    ) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let record = seen.clone();
        let serve = move |server, socket| {
            let (script, record) = (script.clone(), record.clone());
            async move {
                // The client may break a connection as it likes.
                let _ = serve(server, socket, streams, script, &record).await;
            }
        };
        Self {
            addresses: listen(listeners, serve),
            seen,
        }
    }

    /// Starts servers whose requests the test itself answers.
    pub(crate) async fn manual(servers: usize) -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (script, arrived) = forwarding();
        (Self::start(servers, script).await, arrived)
    }

    /// The same of one server that allows so many streams at once.
    pub(crate) async fn manual_limited(streams: u32) -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (script, arrived) = forwarding();
        (Self::limited(streams, script).await, arrived)
    }

    /// A client of all these servers.
    pub(crate) fn client(&self, options: CallOptions) -> Client {
        client(&self.addresses, options)
    }

    /// The requests that came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The methods that were called so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.method).collect()
    }
}

/// A script that hands every request on.
fn forwarding() -> (
    impl Fn(Call) -> Ready<()> + Clone + Send + 'static,
    mpsc::UnboundedReceiver<Call>,
) {
    let (calls, arrived) = mpsc::unbounded_channel();
    let script = move |call| {
        // The test may have ended.
        let _ = calls.send(call);
        ready(())
    };
    (script, arrived)
}

async fn serve<S>(
    server: usize,
    socket: TcpStream,
    streams: Option<u32>,
    script: impl Fn(Call) -> S,
    record: &Mutex<Vec<Seen>>,
) -> Result<(), h2::Error>
where
    S: Future<Output = ()> + Send + 'static,
{
    // The operating system does not know that the test's clock is fast.
    socket.set_nodelay(true).unwrap();
    let socket = socket.into_std().unwrap();
    let mut bare = socket.try_clone().unwrap();
    let mut builder = h2::server::Builder::new();
    streams.map(|streams| builder.max_concurrent_streams(streams));
    let mut connection = builder.handshake(TcpStream::from_std(socket).unwrap()).await?;
    let mut pings = connection.ping_pong().unwrap();
    let mut pinging: Option<oneshot::Sender<()>> = None;
    let (orders, mut ordered) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            // First, since this also writes what was answered: an order comes behind that.
            biased;
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted?;
                let mut record = record.lock().unwrap();
                let call = Call::new(server, record.len(), request, respond, Wire(orders.clone()));
                record.push(Seen {
                    server,
                    method: call.method.clone(),
                    metadata: call.metadata.clone(),
                    stream: call.stream,
                    at: Instant::now(),
                });
                tokio::spawn(script(call));
            }
            pong = poll_fn(|cx| pings.poll_pong(cx)), if pinging.is_some() => {
                pong?;
                if let Some(delivered) = pinging.take() {
                    let _ = delivered.send(());
                }
            }
            Some(order) = ordered.recv(), if pinging.is_none() => match order {
                Order::Bytes(bytes) => bare.write_all(&bytes).unwrap(),
                Order::Close => {
                    let _ = bare.shutdown(Shutdown::Both);
                    return Ok(());
                }
                Order::Ping(delivered) => {
                    pings.send_ping(Ping::opaque())?;
                    pinging = Some(delivered);
                }
            }
        }
    }
}

/// The connection under a call. What is ordered here comes behind everything that was answered before.
#[derive(Clone)]
pub(crate) struct Wire(mpsc::UnboundedSender<Order>);

enum Order {
    Bytes(Vec<u8>),
    Close,
    Ping(oneshot::Sender<()>),
}

impl Wire {
    /// Writes bytes as they are.
    pub(crate) fn write(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.0.send(Order::Bytes(bytes.into()));
    }

    /// Says that the server goes away, and which stream is the last that it took.
    pub(crate) fn goaway(&self, last: u32, reason: Reason) {
        self.write(frames::goaway(last, reason));
    }

    /// Closes the socket.
    pub(crate) fn close(&self) {
        let _ = self.0.send(Order::Close);
    }

    /// Waits until the client has received everything so far. Time passes meanwhile, as its answer may wait for a moment.
    pub(crate) async fn delivered(&self) {
        let (delivered, done) = oneshot::channel();
        let _ = self.0.send(Order::Ping(delivered));
        until(done).await.unwrap();
    }
}
