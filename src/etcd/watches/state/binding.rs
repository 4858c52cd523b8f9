//! Which watch a confirmation or a refusal belongs to.
//!
//! etcd keeps the ids that are asked for and answers in the order of the requests. Its proxy does neither. A watch is
//! bound only to a confirmation that can be its own: where more than one could be, the stream is ended, and from then
//! on one watch is created at a time.

use super::super::reason::canceled;
use super::table::{FIRST, Key, Phase, Watches, WireId};
use crate::etcd::cause::{Retry, refuses_token};
use crate::etcd::error::{Code, Error};
use crate::etcd::pb::{Response, WatchResponse};

/// How often in a row a watch may be refused though its user has the permission.
pub(super) const REFUSALS: u32 = 3;

impl Watches {
    /// The answer to a create.
    pub(super) fn created(&mut self, message: &WatchResponse) {
        let Some((wire, key)) = self.answered(message) else {
            return;
        };
        match key {
            Some(key) if message.canceled => self.refused(key, canceled(message)),
            Some(key) => self.confirmed(key, wire, message),
            // It was cancelled under the id that was asked for.
            None if !message.canceled && message.watch_id != wire => self.to_cancel.push_back(message.watch_id),
            None => {}
        }
    }

    /// The create that this is the response to, if that is certain.
    fn answered(&mut self, message: &WatchResponse) -> Option<(WireId, Option<Key>)> {
        let id = message.watch_id;
        match self.creating.iter().position(|(wire, _)| *wire == id) {
            Some(at) => {
                self.careful = at > 0;
                if at == 0 && !message.canceled {
                    self.keeps_ids = true;
                    self.member = message.header.as_ref().map_or(0, |header| header.member_id);
                }
                return self.creating.remove(at);
            }
            None if self.creating.len() == 1 && id <= FIRST => {}
            // A server that keeps ids answers in order, and has none for what it refuses.
            None if message.canceled && self.keeps_ids && !self.careful => {}
            None if self.creating.is_empty() => return None,
            None => {
                self.careful = true;
                // At once, since the next stream will do.
                let text = "the server confirms watches under ids that nobody asked for";
                self.fail_with(Error::new(Code::Protocol, text), Retry::Reconnect);
                return None;
            }
        }
        self.careful |= !message.canceled;
        self.creating.pop_front()
    }

    fn confirmed(&mut self, key: Key, wire: WireId, message: &WatchResponse) {
        let (id, cluster_id) = (message.watch_id, message.cluster_id());
        let taken = id < 0 || self.by_wire.contains_key(&id);
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        if taken {
            let reason = format!("the server answered watch {wire} with {id}");
            return match watch.confirm {
                Some(_) => self.give_up(key, &reason),
                None => self.fail(&reason),
            };
        }
        watch.phase = Phase::Attached(id);
        self.by_wire.insert(id, key);
        if cluster_id != 0 && ![0, cluster_id].contains(&watch.cluster_id) {
            return self.give_up(key, "the cluster was replaced by another, whose revisions are others");
        }
        watch.cluster_id = watch.cluster_id.max(cluster_id);
        watch.refusals = 0;
        self.counts.resumes += u64::from(watch.confirm.is_none());
        if let Some(confirm) = watch.confirm.take() {
            // The caller may have given up waiting; its watcher then cancels the watch.
            let _ = confirm.send(Ok(()));
        }
    }

    /// The server does not create the watch. Some say of an old token that the permission is denied.
    fn refused(&mut self, key: Key, reason: Error) {
        let Some(watch) = self.by_key.get_mut(&key) else { return };
        watch.phase = Phase::Detached;
        watch.refusals += 1;
        let stale = reason.code == Code::Unauthenticated || refuses_token(&reason.message);
        match reason.code {
            _ if !self.can_login || watch.refusals > REFUSALS => self.end(key, reason),
            _ if stale => self.fail_with(reason, Retry::Login),
            Code::PermissionDenied => self.denied.push_back((key, reason)),
            _ => self.end(key, reason),
        }
    }

    /// The next watch that was refused for what may be the fault of an old token: the range that it wants to read.
    pub(in super::super) fn suspect(&mut self) -> Option<Suspect> {
        loop {
            let (key, reason) = self.denied.pop_front()?;
            if let Some(watch) = self.by_key.get(&key) {
                let (first, end) = (watch.request.key.clone(), watch.request.range_end.clone());
                return Some(Suspect {
                    key,
                    reason,
                    first,
                    end,
                });
            }
        }
    }

    /// The permission is there: the watch is asked for again.
    pub(in super::super) fn absolve(&mut self, suspect: &Suspect) {
        if self
            .by_key
            .get(&suspect.key)
            .is_some_and(|watch| watch.phase == Phase::Detached)
        {
            self.attach(suspect.key);
        }
    }

    /// The refusal was meant.
    pub(in super::super) fn convict(&mut self, suspect: Suspect) {
        self.end(suspect.key, suspect.reason);
    }
}

/// A watch that was refused.
pub(in super::super) struct Suspect {
    key: Key,
    reason: Error,
    /// The range that it watches.
    pub(in super::super) first: bytes::Bytes,
    pub(in super::super) end: bytes::Bytes,
}
