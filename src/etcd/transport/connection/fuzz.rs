//! A server that sends what it likes to a connection with a call and a stream under way: both end, what they say of it
//! can be shown, and so does the connection once nobody needs it.
//!
//! In: steps of the server, most of them frames. Out: a panic when something has no end. The clock stands still while
//! something can go on.

use std::sync::Weak;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::*;
use crate::etcd::fuzz::Input;
use crate::etcd::pb::{WatchRequest, WatchResponse};
use crate::etcd::transport::grpc::{HalfClose, open, unary_message};
use crate::etcd::transport::http2::{Body, frame};

/// How long the call may take, and the stream is read: less than the time between two pings, and more.
const CALL_LIMIT: Duration = Duration::from_secs(5);
const STREAM_LIMIT: Duration = Duration::from_secs(60);

/// By then a connection has found out that it is needed by nobody, or that nobody is there.
const END: Duration = Duration::from_secs(600);

/// The largest message that is accepted.
const LARGEST: usize = 8 << 10;

/// How many bytes pass at once, and how many lie in the pipe.
const PIECES: [usize; 4] = [1, 10, 1000, 1 << 20];
const PIPES: [usize; 4] = [100, 4 << 10, 1 << 20, 1 << 20];

/// The head of a response of gRPC, and its trailers.
const GOOD: &[u8] = b"\x88\x5f\x10application/grpc";
const OK: &[u8] = b"\0\x0bgrpc-status\x010";

/// Lets a server take the steps that `data` stands for.
pub fn drive(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut input = Input(data);
        let (client, server) = duplex(PIPES[input.below(4)]);
        let server = tokio::spawn(serve(server, data[data.len() - input.0.len()..].to_vec()));
        let state = ask(client).await;
        let over = async {
            while state.strong_count() > 0 {
                sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(END, over).await.expect("the connection has no end");
        if server.is_finished() {
            server.await.unwrap();
        }
    });
}

/// Makes a call and a stream. Returns what lives as long as the connection.
async fn ask(pipe: DuplexStream) -> Weak<State> {
    let state = Arc::new(State::new(Pace::default(), Arc::default()));
    let alive = Arc::downgrade(&state);
    let constant = Constant {
        scheme: "http",
        authority: "localhost".to_owned(),
        fields: HeaderMap::new(),
    };
    let closed = CancellationToken::new();
    let begun = timeout(CALL_LIMIT, handshake(pipe, constant, &state, &closed)).await;
    let http2 = match begun {
        Ok(Ok(http2)) => http2,
        Ok(Err(error)) => {
            assert_readable(&Cause::Unreachable(error));
            return alive;
        }
        Err(_) => return alive,
    };
    let connection = Connection(Arc::new(Parts {
        http2,
        peer: None,
        state,
    }));
    let (called, streamed) = timeout(END, async { tokio::join!(call(&connection), stream(&connection)) })
        .await
        .expect("a call has no end");
    for cause in [called.err(), streamed.err()].into_iter().flatten() {
        assert_readable(&cause);
    }
    alive
}

async fn call(connection: &Connection) -> Result<(), Cause> {
    let request = || (Metadata::default(), Body::default());
    let deadline = Deadline::within(CALL_LIMIT);
    let message = unary_message(connection, "/call", HalfClose::Request, deadline, LARGEST, request).await?;
    assert!(message.len() <= LARGEST);
    Ok(())
}

async fn stream(connection: &Connection) -> Result<(), Cause> {
    let end = Instant::now() + STREAM_LIMIT;
    let metadata = Metadata::default();
    let (mut outgoing, mut incoming) =
        open::<WatchResponse>(connection, "/stream", Purpose::Watches, end, &metadata).await?;
    outgoing.queue(&WatchRequest::default());
    let read = async {
        outgoing.flush().await?;
        while incoming.next().await?.is_some() {}
        Ok(())
    };
    // A server may be silent on it as long as it likes.
    timeout_at(end, read).await.unwrap_or(Ok(()))
}

/// Says what went wrong in one line, and what follows from it.
fn assert_readable(cause: &Cause) {
    let message = cause.message();
    assert!(
        !message.is_empty() && !message.contains(char::is_control),
        "{message:?}"
    );
    cause.verdict();
}

/// Ends when the pipe does. What the client says is read where it is waited for, and at the end.
async fn serve(mut pipe: DuplexStream, data: Vec<u8>) {
    let mut input = Input(&data);
    let most = PIECES[input.below(4)];
    let is_deaf = input.below(8) == 0;
    // Without it nothing that follows is read.
    if input.below(8) > 0 {
        let _ = pipe.write_all(&frame(4, 0, 0, &[])).await;
    }
    let mut spoken = Vec::new();
    while !input.is_over() {
        match input.byte() % 20 {
            kind @ 0..10 => {
                let flags = input.byte();
                let id = stream_id(&mut input);
                let payload = payload(&mut input);
                spoken.extend(frame(kind, flags, id, &payload));
            }
            10 => {
                let garbage = payload(&mut input);
                spoken.extend(garbage);
            }
            11..14 => spoken.extend(frame(1, 4, stream_id(&mut input), GOOD)),
            14..16 => {
                let id = stream_id(&mut input);
                let message = payload(&mut input);
                let head = [&[0][..], &(message.len() as u32).to_be_bytes()].concat();
                spoken.extend(frame(0, 0, id, &[head, message].concat()));
            }
            16 => spoken.extend(frame(1, 5, stream_id(&mut input), OK)),
            17 => {
                if speak(&mut pipe, &mut spoken, most).await.is_none() {
                    return;
                }
                // The client may go on.
                let _ = timeout(Duration::from_millis(1), hear(&mut pipe, is_deaf)).await;
            }
            18 => sleep(Duration::from_secs(input.byte().into())).await,
            _ => {
                if input.below(8) == 0 {
                    return;
                }
            }
        }
    }
    if speak(&mut pipe, &mut spoken, most).await.is_some() {
        hear(&mut pipe, is_deaf).await;
    }
}

/// Sends all that there is to say; none where nobody listens.
async fn speak(pipe: &mut DuplexStream, spoken: &mut Vec<u8>, most: usize) -> Option<()> {
    let spoken = std::mem::take(spoken);
    // What is long is cut less, since each piece takes a while.
    for piece in spoken.chunks(most.max(spoken.len() / 1000)) {
        pipe.write_all(piece).await.ok()?;
        tokio::task::yield_now().await;
    }
    Some(())
}

/// Reads until nothing more comes.
async fn hear(pipe: &mut DuplexStream, is_deaf: bool) {
    if is_deaf {
        return pending().await;
    }
    let mut heard = [0; 1 << 10];
    while pipe.read(&mut heard).await.is_ok_and(|read| read > 0) {}
}

fn stream_id(input: &mut Input<'_>) -> u32 {
    [0, 1, 1, 1, 3, 3, 3, 5][input.below(8)]
}

/// What is there, or a long one of this byte.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        length @ 0..240 => {
            let length = usize::from(length).min(input.0.len());
            Bytes::copy_from_slice(input.0.split_off(..length).unwrap_or_default()).into()
        }
        times => vec![input.byte(); usize::from(times - 239) * 1024],
    }
}
