//! Drives the state machine by hand: what it wants sent, what it delivers, and how watches end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binding;
mod creation;
mod ends;
mod fragments;
mod history;
mod notifications;
mod pauses;
mod progress;
mod resumption;

use bytes::Bytes;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::etcd::cause::Retry;
use crate::etcd::error::{Applied, Result};
use crate::etcd::pb::{Event, KeyValue, ResponseHeader, WatchResponse};

type Confirmed = Receiver<Result<(), Failure>>;

/// A watch of the machine under test.
struct Reader {
    key: Key,
    inbox: Arc<Inbox>,
    confirmed: Confirmed,
}

fn watch(watches: &mut Watches, request: WatchCreateRequest) -> Reader {
    let inbox = Arc::<Inbox>::default();
    let (confirm, confirmed) = oneshot::channel();
    let first = request.start_revision;
    let key = watches.create(request, first, inbox.clone(), confirm);
    Reader { key, inbox, confirmed }
}

/// A watch from this revision on.
fn watch_from(watches: &mut Watches, start_revision: i64) -> Reader {
    watch(
        watches,
        WatchCreateRequest {
            start_revision,
            ..WatchCreateRequest::default()
        },
    )
}

/// A machine with one watch from revision 10 on, confirmed under the returned id.
fn watching() -> (Watches, Reader, WireId) {
    let mut watches = Watches::default();
    let mut reader = watch_from(&mut watches, 10);
    let id = created_id(&mut watches);
    watches.receive(created(id));
    reader.confirmed.try_recv().unwrap().unwrap();
    (watches, reader, id)
}

/// What the machine wants sent.
#[derive(Debug, PartialEq)]
enum Sent {
    /// A watch under an id, from a revision on.
    Create(WireId, i64),
    Cancel(WireId),
    Progress,
}

fn sent(watches: &mut Watches) -> Vec<Sent> {
    let requests = std::iter::from_fn(|| watches.next_request());
    requests
        .map(|request| match request.request_union.unwrap() {
            RequestUnion::CreateRequest(create) => Sent::Create(create.watch_id, create.start_revision),
            RequestUnion::CancelRequest(cancel) => Sent::Cancel(cancel.watch_id),
            RequestUnion::ProgressRequest(_) => Sent::Progress,
        })
        .collect()
}

/// The id of the one create that the machine wants sent.
fn created_id(watches: &mut Watches) -> WireId {
    match sent(watches)[..] {
        [Sent::Create(id, _)] => id,
        ref other => panic!("not one create: {other:?}"),
    }
}

/// A new stream; returns the id under which the one watch is created there, and the revision that it has not delivered:
/// it is asked for from one revision earlier.
fn reconnected(watches: &mut Watches) -> (WireId, i64) {
    watches.connected();
    match sent(watches)[..] {
        [Sent::Create(id, revision)] => (id, revision + 1),
        ref other => panic!("not one create: {other:?}"),
    }
}

fn created(watch_id: WireId) -> WatchResponse {
    WatchResponse {
        watch_id,
        header: header(1_000_000),
        created: true,
        ..WatchResponse::default()
    }
}

fn canceled_for(watch_id: WireId, reason: &str) -> WatchResponse {
    WatchResponse {
        watch_id,
        canceled: true,
        cancel_reason: reason.to_owned(),
        ..WatchResponse::default()
    }
}

fn refused(watch_id: WireId) -> WatchResponse {
    WatchResponse {
        created: true,
        ..canceled_for(watch_id, "etcdserver: permission denied")
    }
}

fn compacted(watch_id: WireId, compact_revision: i64) -> WatchResponse {
    WatchResponse {
        compact_revision,
        header: header(0),
        ..canceled_for(watch_id, "")
    }
}

/// Events at these revisions. The header is far ahead, as it is while history is read.
fn events(watch_id: WireId, revisions: &[i64]) -> WatchResponse {
    WatchResponse {
        watch_id,
        header: header(1_000_000),
        events: revisions
            .iter()
            .map(|&revision| event(revision, Bytes::new()))
            .collect(),
        ..WatchResponse::default()
    }
}

fn fragment(watch_id: WireId, revisions: &[i64]) -> WatchResponse {
    WatchResponse {
        fragment: true,
        ..events(watch_id, revisions)
    }
}

fn progress(watch_id: WireId, revision: i64) -> WatchResponse {
    WatchResponse {
        watch_id,
        header: header(revision),
        ..WatchResponse::default()
    }
}

fn event(mod_revision: i64, value: Bytes) -> Event {
    Event {
        kv: Some(KeyValue {
            mod_revision,
            value,
            ..KeyValue::default()
        }),
        ..Event::default()
    }
}

/// The revision that an event is of.
fn revision(event: &Event) -> Option<i64> {
    event.kv.as_ref().map(|kv| kv.mod_revision)
}

/// One event that fills an inbox.
fn flood(watch_id: WireId, revision: i64) -> WatchResponse {
    WatchResponse {
        events: vec![event(revision, vec![0; 5 << 20].into())],
        ..events(watch_id, &[])
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        cluster_id: 7,
        ..ResponseHeader::default()
    })
}

impl Reader {
    /// The revisions of the next response's events; `None` if nothing waits.
    fn read(&self) -> Option<Vec<i64>> {
        let response = self.inbox.pop()?.unwrap().decode();
        assert_eq!(response.watch_id, self.key.cast_signed());
        Some(response.events.iter().filter_map(revision).collect())
    }

    /// Why it ended.
    fn end(&self) -> Error {
        self.inbox.pop().unwrap().unwrap_err()
    }

    /// Why it was not confirmed.
    fn refusal(&mut self) -> Error {
        let failure = self.confirmed.try_recv().unwrap().unwrap_err();
        assert_eq!(failure.retry, Retry::Never);
        failure.error
    }

    fn waits(&mut self) -> bool {
        matches!(self.confirmed.try_recv(), Err(TryRecvError::Empty))
    }
}
