//! A long, slow line: bytes arrive later, and only so many a second; many are on their way at once.
//!
//! In: one direction of a connection. It ends with either side.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::tcp::{Orders, Weather};

/// So much is read at once, for the line to be even.
const CHUNK: usize = 2048;
/// So many chunks are on their way at most; who sends more has to wait.
const UNDERWAY: usize = 256;

/// Moves bytes. Where the weather is another, they arrive at once.
pub async fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, orders: watch::Receiver<Orders>) {
    let (sender, receiver) = mpsc::channel(UNDERWAY);
    tokio::select! {
        () = take(from, sender) => {}
        () = give(to, receiver, orders) => {}
    }
}

async fn take(mut from: OwnedReadHalf, line: mpsc::Sender<(Instant, Bytes)>) {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = from.read_buf(&mut chunk).await;
        if !matches!(read, Ok(1..)) || line.send((Instant::now(), chunk.freeze())).await.is_err() {
            return;
        }
    }
}

async fn give(mut to: OwnedWriteHalf, mut line: mpsc::Receiver<(Instant, Bytes)>, orders: watch::Receiver<Orders>) {
    let mut free = Instant::now();
    while let Some((read, chunk)) = line.recv().await {
        let weather = orders.borrow().weather;
        if let Weather::Line { delay, rate } = weather {
            free = free.max(read) + Duration::from_secs_f64(chunk.len() as f64 / f64::from(rate));
            sleep_until(free + delay).await;
        }
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}
