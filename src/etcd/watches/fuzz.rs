//! The state machine of watches against a server. In the first mode that is a model of an honest one or of a proxy, and
//! every watch must deliver its history exactly once; in the second it says whatever the bytes say, and nothing may be
//! delivered twice, out of order, or to a watch that does not cover its key.
#![allow(clippy::expect_used, reason = "a fuzzer is to panic")]

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::sync::oneshot;

use super::inbox::Inbox;
use super::state::{Key, Watches};
use crate::etcd::cause::Retry;
use crate::etcd::error::{Code, Error};
use crate::etcd::failure::Failure;
use crate::etcd::fuzz::Input;
use crate::etcd::pb::watch_request::RequestUnion;
use crate::etcd::pb::{Event, WatchCreateRequest, WatchRequest, WatchResponse};
use server::Server;

mod server;

/// Runs the steps that `data` stands for.
pub fn drive(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 2 {
        0 => honest(&mut input),
        _ => hostile(&mut input),
    }
}

/// A watch, and what its reader knows.
struct Reader {
    key: Key,
    inbox: Arc<Inbox>,
    first: i64,
    /// It watches all keys from this on.
    from: Bytes,
    /// All from this revision on must be read. A watch from now on promises nothing before it is confirmed.
    promised: Option<i64>,
    /// All before this revision has been read.
    next: i64,
    read: Vec<Name>,
    confirmed: oneshot::Receiver<Result<(), Failure>>,
}

impl Reader {
    fn new(watches: &mut Watches, first: i64, from: u8, from_now: bool, progress_notify: bool) -> Self {
        let inbox = Arc::<Inbox>::default();
        let (confirm, confirmed) = oneshot::channel();
        let from = Bytes::from(vec![from]);
        let request = WatchCreateRequest {
            key: from.clone(),
            range_end: Bytes::from_static(b"\0"),
            start_revision: if from_now { 0 } else { first },
            progress_notify,
            ..WatchCreateRequest::default()
        };
        Self {
            key: watches.create(request, first, inbox.clone(), confirm),
            inbox,
            first,
            from,
            promised: (!from_now).then_some(first),
            next: first,
            read: Vec::new(),
            confirmed,
        }
    }

    /// Reads one response as `Watcher::read` does. Says whether there was one.
    fn read(&mut self, watches: &mut Watches) -> bool {
        let Some(Ok(response)) = self.inbox.pop() else {
            watches.resume(self.key);
            return false;
        };
        let response = response.decode();
        assert_eq!(
            response.watch_id,
            self.key.cast_signed(),
            "delivered to the wrong watch"
        );
        let revisions = || response.events.iter().map(revision);
        if let (Some(least), Some(most)) = (revisions().min(), revisions().max()) {
            assert!(least >= self.next, "delivered twice, or out of order");
            self.next = most.saturating_add(1);
        }
        let foreign = |event: &Event| name(event).1 < self.from;
        assert!(
            !response.events.iter().any(foreign),
            "an event of a key that is not watched"
        );
        self.read.extend(response.events.iter().map(name));
        true
    }
}

/// Tells an event from all others: its revision and key.
type Name = (i64, Bytes);

fn name(event: &Event) -> Name {
    let key = event.kv.as_ref().map(|kv| kv.key.clone());
    (revision(event), key.unwrap_or_default())
}

fn revision(event: &Event) -> i64 {
    event
        .kv
        .as_ref()
        .expect("an event without a key was delivered")
        .mod_revision
}

/// What has been asked of the server on this stream. Ids are never used again.
#[derive(Default)]
struct Asked {
    last_id: i64,
}

impl Asked {
    fn check(&mut self, request: &WatchRequest) {
        if let Some(RequestUnion::CreateRequest(create)) = &request.request_union {
            assert!(create.watch_id > self.last_id, "a watch id was used again");
            self.last_id = create.watch_id;
        }
    }
}

fn hostile(input: &mut Input<'_>) {
    let mut watches = Watches::new(input.byte().is_multiple_of(2));
    let mut readers = Vec::<Reader>::new();
    let mut asked = Asked::default();
    while !input.0.is_empty() {
        let step = input.byte();
        let at = input.below(readers.len());
        match step % 10 {
            0 if readers.len() < 8 => {
                let first = i64::from(input.byte());
                readers.push(Reader::new(&mut watches, first, step / 32, at > 3, step > 127));
            }
            1 => watches.connected(),
            2 => {
                if let Some(request) = watches.next_request() {
                    asked.check(&request);
                }
            }
            3 => {
                if let Some(reader) = readers.get(at) {
                    watches.cancel(reader.key);
                }
            }
            4 => {
                let mut failure = Failure::last(Error::new(Code::Unavailable, "fuzz"));
                failure.retry = if step > 127 { Retry::Later } else { Retry::Never };
                watches.stranded(&failure);
            }
            5 => {
                if let Some(suspect) = watches.suspect() {
                    watches.absolve(&suspect);
                }
            }
            6 => {
                if let Some(reader) = readers.get_mut(at) {
                    reader.read(&mut watches);
                }
            }
            _ => {
                let length = usize::from(input.byte()).min(input.0.len());
                let (message, rest) = input.0.split_at(length);
                input.0 = rest;
                if let Ok(message) = WatchResponse::decode(message) {
                    watches.receive(message);
                }
            }
        }
    }
    for reader in &mut readers {
        while reader.read(&mut watches) {}
    }
}

fn honest(input: &mut Input<'_>) {
    let mut watches = Watches::new(false);
    let mut server = Server::default();
    let mut readers = Vec::<Reader>::new();
    let mut asked = Asked::default();
    while !input.0.is_empty() {
        let step = input.byte();
        let at = input.below(4);
        match step % 10 {
            0 if server.revision() < 64 => server.write(1 + at, step > 200),
            1 if readers.len() < 4 => {
                let now = server.revision() + 1;
                let first = match at {
                    0 => now,
                    _ => 1 + input.below(now as usize) as i64,
                };
                let from = input.below(3) as u8;
                readers.push(Reader::new(&mut watches, first, from, at == 0, step > 127));
            }
            2 => reconnect(&mut watches, &mut server, step > 127),
            3 => server.notify(at, 1 + usize::from(step) / 32, step % 4 > 1),
            4 if step > 127 => drop(watches.ask_progress(false)),
            4 => server.progress(at),
            5 if step < 128 => server.confirm(at),
            5 => {
                if step > 230 && at < readers.len() {
                    watches.cancel(readers.swap_remove(at).key);
                }
            }
            6 => {
                if let Some(reader) = readers.get_mut(at) {
                    reader.read(&mut watches);
                }
            }
            7 => {
                if let Some(request) = watches.next_request() {
                    asked.check(&request);
                    server.serve(&request);
                }
            }
            _ => {
                if let Some(message) = server.sent.pop_front() {
                    watches.receive(message);
                }
            }
        }
        if watches.fault().is_some() {
            reconnect(&mut watches, &mut server, step > 127);
        }
        for reader in &mut readers {
            if let Ok(Ok(())) = reader.confirmed.try_recv() {
                reader.promised.get_or_insert(server.revision() + 1);
            }
        }
    }
    settle(&mut watches, &mut server, &mut readers, &mut asked);
    for reader in &readers {
        assert!(
            server.since(reader.first, &reader.from).ends_with(&reader.read),
            "an event was lost or repeated"
        );
        let promised = server.since(reader.promised.unwrap_or(server.revision() + 1), &reader.from);
        assert!(reader.read.ends_with(&promised), "an event was lost");
    }
}

/// A new stream.
fn reconnect(watches: &mut Watches, server: &mut Server, is_proxy: bool) {
    watches.broke();
    watches.connected();
    server.connected(is_proxy);
}

/// Nothing breaks any more: everybody gets what is left.
fn settle(watches: &mut Watches, server: &mut Server, readers: &mut [Reader], asked: &mut Asked) {
    // A paused watch goes on only once its reader has found nothing more.
    let mut idle_rounds = 0;
    while idle_rounds < 2 {
        let mut idle = true;
        while let Some(request) = watches.next_request() {
            asked.check(&request);
            server.serve(&request);
            idle = false;
        }
        server.confirm(0);
        for at in 0..server.len() {
            server.notify(at, usize::MAX, false);
        }
        while let Some(message) = server.sent.pop_front() {
            watches.receive(message);
            idle = false;
            if watches.fault().is_some() {
                reconnect(watches, server, idle_rounds == 0);
            }
        }
        for reader in &mut *readers {
            while reader.read(watches) {
                idle = false;
            }
        }
        idle_rounds = if idle { idle_rounds + 1 } else { 0 };
    }
}
