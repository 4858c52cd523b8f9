//! What a watch's user holds: it brings the responses, tells what the watch is doing, and ends it.

use std::sync::Arc;

use super::batch::Batch;
use super::hub::{Created, Hub};
use super::inbox::Inbox;
use super::state;
use super::status::Status;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::namespace::Namespace;
use crate::etcd::pb::WatchResponse;
use crate::etcd::readable::Readable;

/// A watch. It ends when it is closed or dropped, with its client, or when the server ends it.
pub struct Watcher {
    key: state::Key,
    inbox: Arc<Inbox>,
    hub: Arc<Hub>,
    namespace: Namespace,
}

/// A response brings events, or is a progress notification if those were asked for.
impl Readable for Watcher {
    type Item = WatchResponse;

    fn take(&self) -> Option<Result<WatchResponse>> {
        let next = self.inbox.pop()?;
        Some(next.map(|response| {
            let mut response = response.decode();
            self.namespace.leave(&mut response);
            response
        }))
    }

    fn put_back(&self, mut response: WatchResponse) {
        self.namespace.restore(&mut response);
        self.inbox.put_back(response.into());
    }

    async fn ready(&self) {
        loop {
            let changed = self.inbox.changed();
            if self.inbox.is_ready() {
                return;
            }
            // All is read: a watch that was paused for its full inbox goes on.
            self.hub.resume(self.key);
            changed.await;
        }
    }
}

/// A watch whose responses are read as they came.
pub struct Batches(pub Watcher);

impl Readable for Batches {
    type Item = Batch;

    fn take(&self) -> Option<Result<Batch>> {
        let mut next = self.0.inbox.pop()?;
        if let Ok(response) = &mut next {
            self.0.namespace.leave(response);
        }
        Some(next)
    }

    fn put_back(&self, response: Batch) {
        if self.0.namespace.is_whole() {
            self.0.inbox.put_back(response);
        } else {
            self.0.put_back(response.decode());
        }
    }

    async fn ready(&self) {
        self.0.ready().await;
    }
}

impl Watcher {
    /// The handle on a watch that the hub has created. Dropped, it takes that back.
    pub(crate) fn new(hub: Arc<Hub>, created: Created, namespace: Namespace) -> Self {
        let Created { key, inbox } = created;
        Self {
            key,
            inbox,
            hub,
            namespace,
        }
    }

    /// What the watch is doing: silence is told from loss. May be called from any thread.
    pub fn status(&self) -> Status {
        self.hub.status(self.key)
    }

    /// Waits until something has come, or the watch is cut off or back: never for nothing to change.
    pub(crate) async fn stirred(&self) {
        let stirred = self.inbox.changed();
        if !self.inbox.is_ready() {
            self.hub.resume(self.key);
            stirred.await;
        }
    }

    /// Has the server asked soon how far the watches are.
    pub(crate) fn hurry(&self) {
        self.hub.hurry();
    }

    /// Ends the watch. What was not read is dropped. May be called from any thread, and again.
    pub fn close(&self) {
        self.inbox.end(Error::new(Code::Closed, "the watch is closed"));
        self.inbox.clear();
        self.hub.cancel(self.key);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}
