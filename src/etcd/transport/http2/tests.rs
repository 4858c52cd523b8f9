//! The whole of it against the server of the h2 crate, over pipes that take and bring bytes in pieces of any size:
//! whatever its windows are, and whoever gives up in the middle, all bytes and fields arrive, and nothing stalls.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use fastrand::Rng;
use futures_util::future::{join, join_all};
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::runtime::{self, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::answers::WAIT;
use super::*;
use crate::etcd::transport::liveness::Pace;
use crate::etcd::transport::state::State;

/// A pipe that reads and writes at most so many bytes at once, and now and then none.
struct Chopped {
    pipe: DuplexStream,
    most: usize,
    random: Rng,
}

impl Chopped {
    /// How much may pass. The clock stands still while somebody is woken.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<usize> {
        if self.random.u8(..8) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.random.usize(1..=self.most))
    }
}

impl AsyncRead for Chopped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = std::task::ready!(self.poll(cx)).min(buffer.remaining());
        let mut piece = vec![0; most];
        let mut read = ReadBuf::new(&mut piece);
        std::task::ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut read))?;
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Chopped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = std::task::ready!(self.poll(cx)).min(bytes.len());
        Pin::new(&mut self.pipe).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

fn bytes(seed: u64, length: usize) -> Bytes {
    let mut random = Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Serves requests until the client leaves. Each begins with the length of the response that it wants.
async fn serve(pipe: Chopped, mut random: Rng) {
    let mut builder = Builder::new();
    builder
        .initial_window_size(random.choice([0, 1, 1000, 65_535, 1 << 20]).unwrap())
        .initial_connection_window_size(random.choice([65_535, 1 << 20]).unwrap())
        .max_frame_size(random.choice([1 << 14, 1 << 16, (1 << 24) - 1]).unwrap())
        .header_table_size(random.choice([0, 60, 100, 4096, 1 << 20]).unwrap())
        .max_concurrent_streams(1000);
    let mut connection = builder.handshake(pipe).await.unwrap();
    let mut window = Some(random.choice([1000, 65_535, 1 << 20]).unwrap());
    while let Some(accepted) = connection.accept().await {
        // The client may break it when it has all that it wants.
        let Ok((request, respond)) = accepted else { return };
        if let Some(window) = window.take() {
            connection.set_initial_window_size(window).unwrap();
        }
        tokio::spawn(respond_to(request, respond, random.fork()));
    }
}

/// None: the client has given up.
async fn respond_to(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, mut random: Rng) -> Option<()> {
    let tag = request.headers().get("x-tag").cloned();
    let token = request.headers().get("token").cloned();
    let mut body = request.into_body();
    let mut received = Vec::new();
    let mut unreleased = 0;
    while received.len() < 12 {
        let piece = body.data().await?.ok()?;
        unreleased += piece.len();
        received.extend(piece);
    }
    let wanted = u32::from_be_bytes(*received.first_chunk().unwrap()) as usize;
    let seed = u64::from_be_bytes(received[4..12].try_into().unwrap());
    let head = Response::builder().header("content-type", "application/grpc");
    let mut response = respond.send_response(head.body(()).unwrap(), false).ok()?;
    let slow = random.bool();
    let reading = async {
        loop {
            // All of them together keep less than the smallest window.
            if !slow || unreleased >= 500 || random.u8(..4) == 0 {
                body.flow_control()
                    .release_capacity(std::mem::take(&mut unreleased))
                    .ok()?;
            }
            let Some(piece) = body.data().await else { break };
            let piece = piece.ok()?;
            unreleased += piece.len();
            received.extend(piece);
        }
        Some(())
    };
    let mut rest = bytes(seed, wanted);
    let writing = async {
        while !rest.is_empty() {
            response.reserve_capacity(rest.len());
            let room = poll_fn(|cx| response.poll_capacity(cx)).await?.ok()?;
            response.send_data(rest.split_to(room.min(rest.len())), false).ok()?;
        }
        Some(())
    };
    let (read, written) = join(reading, writing).await;
    read.and(written)?;
    let sent = bytes(seed + 1, received.len() - 12);
    let text = if received[12..] == sent { "all" } else { "other bytes" };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let text = format!("{text} {} {tag:?} {token:?}", received.len());
    trailers.insert("grpc-message", HeaderValue::from_str(&text).unwrap());
    response.send_trailers(trailers).ok()
}

/// One request and its response, given up after so many steps.
async fn exchange(shared: Arc<Shared>, number: u64, mut random: Rng, size: usize) {
    let lifetime = if random.u8(..4) == 0 {
        random.usize(..10)
    } else {
        usize::MAX
    };
    let mut steps = 0..lifetime;
    let (sends, wants) = (random.usize(..size), random.usize(..size));
    let mut body = Vec::new();
    body.put_u32(wants as u32);
    body.put_u64(number);
    body.put(bytes(number + 1, sends));
    let mut body = Bytes::from(body);
    let length = body.len();

    let tag = HeaderValue::from_str(&number.to_string().repeat(random.usize(1..200))).unwrap();
    let mut token = HeaderValue::from_static("secret");
    token.set_sensitive(random.bool());
    let has_token = random.bool();
    let mut more = HeaderMap::new();
    more.insert(HeaderName::from_static("x-tag"), tag.clone());
    let metadata = Metadata {
        fields: [has_token.then_some(("token", &token)), None],
        more: Some(&more),
    };
    let stream = Stream::open(&shared, "/service/method", &metadata, None).unwrap();
    let sending = async {
        if random.bool() {
            let is_secret = random.bool();
            return stream.send(Body { bytes: body, is_secret }, true).unwrap();
        }
        while !body.is_empty() {
            let room = stream.window().await.unwrap().min(random.usize(1..100_000));
            let bytes = body.split_to(room.min(body.len()));
            let is_secret = random.bool();
            stream.send(Body { bytes, is_secret }, false).unwrap();
        }
        stream.send(Body::default(), true).unwrap();
    };
    let receiving = async {
        let mut received = Vec::new();
        steps.next()?;
        let head = stream.head().await.unwrap();
        assert_eq!(head.status.as_deref(), Some(&b"200"[..]));
        steps.next()?;
        while let Some(piece) = stream.data().await.unwrap() {
            received.extend(piece);
            steps.next()?;
            yield_now().await;
        }
        let trailers = stream.trailers().await.unwrap().unwrap();
        Some((received, trailers))
    };
    let mut sending = std::pin::pin!(sending);
    let mut receiving = std::pin::pin!(receiving);
    let received = tokio::select! {
        received = &mut receiving => received,
        () = &mut sending => receiving.await,
    };
    if let Some((received, trailers)) = received {
        assert_eq!(received, bytes(number, wants));
        let (tag, token) = (Some(tag), has_token.then_some(token));
        let text = format!("all {length} {tag:?} {token:?}").replace("Sensitive", "\"secret\"");
        assert_eq!(trailers.grpc_message.as_deref(), Some(text.as_bytes()));
        assert_eq!(trailers.grpc_status.as_deref(), Some(&b"0"[..]));
    }
}

async fn begin<S: AsyncRead + AsyncWrite + Unpin>(socket: S) -> Line<S> {
    let state = Arc::new(State::new(Pace::default(), Arc::default()));
    let constant = Constant {
        scheme: "http",
        authority: "localhost".to_owned(),
        fields: HeaderMap::new(),
    };
    Line::begin(socket, constant, &state).await.unwrap()
}

async fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let most = random.choice([1, 9, 100, 5000, 1 << 20]).unwrap();
    // As many bytes as take a moment.
    let size = (most * 100).clamp(100, 3 << 20);
    let (ours, theirs) = duplex(random.choice([1, 1000, 1 << 16]).unwrap().max(most / 4));
    let chopped = |pipe, random| Chopped { pipe, most, random };
    tokio::spawn(serve(chopped(theirs, random.fork()), random.fork()));
    let line = begin(chopped(ours, random.fork())).await;
    let shared = line.shared();
    let served = tokio::spawn(line.serve());
    for round in 0..2 {
        let streams = random.u64(1..8);
        let numbers = (0..streams).map(|number| seed * 1000 + round * 100 + number * 2);
        join_all(numbers.map(|number| exchange(shared.clone(), number, random.fork(), size))).await;
        shared.ping().await;
    }
    shared.close();
    served.await.unwrap();
}

fn paused() -> Runtime {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_connection_whose_runtime_has_broken_takes_no_requests() {
    let (one, other) = (paused(), paused());
    let line = one.block_on(async {
        let (ours, theirs) = duplex(1000);
        tokio::spawn(async { h2::server::handshake(theirs).await.map(drop) });
        begin(ours).await
    });
    // The runtime keeps the line, and nobody serves it.
    let shared = line.shared();
    let open = async || Stream::open(&shared, "/", &Metadata::default(), None).is_some();
    assert!(one.block_on(open()));
    assert!(!other.block_on(open()));
    assert!(!one.block_on(open()), "it has ended for all");
}

/// A pipe that notes what each write has written.
struct Noted {
    pipe: DuplexStream,
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Noted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(bytes.to_vec());
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0pingpong";
const REQUEST: Body = Body {
    bytes: Bytes::from_static(b"request"),
    is_secret: false,
};

/// A connection to a server that has sent its settings, those who use it, the server's end, and what is written.
async fn noted() -> (Arc<Shared>, DuplexStream, Arc<Mutex<Vec<Vec<u8>>>>) {
    let (pipe, mut server) = duplex(1 << 20);
    let writes = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    server.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let line = begin(Noted {
        pipe,
        writes: writes.clone(),
    })
    .await;
    let shared = line.shared();
    tokio::spawn(line.serve());
    (shared, server, writes)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn read_until(server: &mut DuplexStream, part: &[u8]) {
    let mut read = Vec::new();
    while !contains(&read, part) {
        assert_ne!(server.read_buf(&mut read).await.unwrap(), 0);
    }
}

/// Makes a request. The server pings at it, as etcd does, and responds with a head alone.
async fn pinged(shared: &Arc<Shared>, server: &mut DuplexStream, id: u8) {
    let stream = Stream::open(shared, "/", &Metadata::default(), None).unwrap();
    stream.send(REQUEST, true).unwrap();
    read_until(server, b"request").await;
    let head = [b"\0\0\x01\x01\x05\0\0\0", &[id][..], b"\x88"].concat();
    server.write_all(&[PING, &head].concat()).await.unwrap();
    stream.head().await.unwrap();
}

#[test]
fn an_answer_waits_for_the_next_request_once_one_has_followed() {
    paused().block_on(async {
        let (shared, mut server, writes) = noted().await;
        for id in [1, 3, 5, 7] {
            pinged(&shared, &mut server, id).await;
        }
        let writes = writes.lock().unwrap();
        let answers = writes.iter().filter(|write| contains(write, PONG));
        let joined: Vec<_> = answers.map(|write| contains(write, b"request")).collect();
        assert_eq!(joined, [false, true, true]);
    });
}

#[test]
fn an_answer_goes_alone_where_nothing_follows() {
    paused().block_on(async {
        let (shared, mut server, _) = noted().await;
        let answered = async |server: &mut DuplexStream| {
            let start = Instant::now();
            server.write_all(PING).await.unwrap();
            read_until(server, PONG).await;
            start.elapsed()
        };
        assert_eq!(answered(&mut server).await, Duration::ZERO);
        pinged(&shared, &mut server, 1).await;
        // What nothing has followed is not waited with again, until something does.
        assert_eq!(answered(&mut server).await, WAIT);
        assert_eq!(answered(&mut server).await, Duration::ZERO);
        sleep(WAIT).await;
        pinged(&shared, &mut server, 3).await;
        assert_eq!(answered(&mut server).await, Duration::ZERO);
    });
}

#[test]
fn answers_go_though_the_server_never_pauses() {
    paused().block_on(async {
        let (shared, mut server, writes) = noted().await;
        pinged(&shared, &mut server, 1).await;
        pinged(&shared, &mut server, 3).await;
        writes.lock().unwrap().clear();
        let mut rounds = 0..200;
        let pinging = poll_fn(move |cx| {
            let written = rounds.next().map(|_| Pin::new(&mut server).poll_write(cx, PING));
            if written.is_none() {
                return Poll::Ready(());
            }
            // Not by `yield_now`, which lets the sockets and the clock be looked at first.
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        tokio::spawn(pinging).await.unwrap();
        let is_answered = writes.lock().unwrap().iter().any(|write| contains(write, PONG));
        assert!(is_answered);
    });
}

#[test]
fn everything_arrives_however_it_is_cut() {
    for seed in 0..25 {
        let runtime = paused();
        // The clock jumps there when nobody has anything to do.
        let ran = runtime.block_on(async { tokio::spawn(timeout(Duration::from_secs(60), run(seed))).await });
        assert!(matches!(ran, Ok(Ok(()))), "seed {seed}: {ran:?}");
    }
}
