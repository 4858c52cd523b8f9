//! A lease that several locks and candidacies share, and that ends all of them with it.
//!
//! In: a TTL, or a lease that exists. Out: whether it lives, and why it does not. One task per session waits for its end
//! on the runtime, and revokes the lease when it was closed. It ends with the session, or with the client, which leaves
//! the lease to its TTL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::client::Client;
use super::config::CallOptions;
use super::error::{Code, Error, Result};
use super::holding::{Holding, Losses};
use super::leases::Renewals;
use super::once::Once;
use super::pb::{LeaseGrantRequest, LeaseKeepAliveRequest, ResponseHeader};

/// How long the revocation of a lease may take that nobody needs any more.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// A session to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// The lease that it lives on.
    pub lease: SessionLease,
    /// What the key begins with by which it is known whether its writes have happened; none: it has no such key.
    pub marker: Option<Bytes>,
}

/// The lease of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionLease {
    /// One of its own, of so many seconds.
    New(i64),
    /// This one, which exists.
    Existing(i64),
}

/// A lease that is renewed until it is lost, or the session or the client closed. It is closed when this is dropped,
/// unless it is [kept](Self::keep).
pub struct Session {
    /// The response's that granted or renewed the lease.
    pub header: Option<ResponseHeader>,
    /// The lease.
    pub id: i64,
    /// Its TTL in seconds.
    pub ttl: i64,
    pub(super) holding: Arc<Holding>,
    /// Its marker, if it was made with one.
    pub(super) once: Option<Arc<Once>>,
    client: Client,
    is_orphaned: Arc<AtomicBool>,
    /// Is the lease one that was there before?
    is_existing: bool,
    is_kept: AtomicBool,
    /// Is its lease revoked, or left to its TTL?
    gone: watch::Receiver<bool>,
}

impl Client {
    /// Makes a session. An existing lease is renewed from then on, and revoked with the session.
    pub async fn session(&self, request: SessionRequest, options: &CallOptions) -> Result<Session> {
        let (header, id, ttl) = match request.lease {
            SessionLease::New(ttl) => {
                let granted = self.grant(LeaseGrantRequest { ttl, id: 0 }, true, options).await?;
                (granted.header, granted.id, granted.ttl)
            }
            SessionLease::Existing(id) => {
                let (renewed, _) = self
                    .keepalive(LeaseKeepAliveRequest { id }, Some(true), options)
                    .await?;
                (renewed.header, id, renewed.ttl)
            }
        };
        let renewals = self.renewals(id)?;
        let holding = Holding::new(self.clone(), id, None);
        let once = match request.marker {
            Some(prefix) => Some(Arc::new(Once::new(&prefix, id, holding.clone())?)),
            None => None,
        };
        let is_orphaned = Arc::<AtomicBool>::default();
        let (over, gone) = watch::channel(false);
        let task = Task {
            client: self.clone(),
            id,
            holding: holding.clone(),
            is_orphaned: is_orphaned.clone(),
        };
        tokio::spawn(async move {
            task.run(renewals).await;
            // Nobody may wait for it.
            let _ = over.send(true);
        });
        Ok(Session {
            header,
            id,
            ttl,
            holding,
            once,
            client: self.clone(),
            is_orphaned,
            is_existing: matches!(request.lease, SessionLease::Existing(_)),
            is_kept: AtomicBool::new(false),
            gone,
        })
    }
}

impl Session {
    /// Does it live, as far as can be known without asking?
    pub fn is_held(&self) -> bool {
        self.holding.check().is_ok()
    }

    /// Does it live though this is dropped?
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// It lives from now on though this is dropped.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Nobody has it: it is closed, unless it is kept; a lease that was there before is left as it is.
    pub fn discard(&self) {
        match (self.is_kept.load(Ordering::Relaxed), self.is_existing) {
            (true, _) => {}
            (false, false) => self.close(),
            // Where it has ended already there is nothing to be left.
            (false, true) => drop(self.orphan()),
        }
    }

    /// Is its lease another's now?
    pub(super) fn is_orphaned(&self) -> bool {
        self.is_orphaned.load(Ordering::Relaxed)
    }

    /// What tells its end.
    pub fn losses(&self) -> Losses {
        self.holding.losses()
    }

    /// Ends it, and all that lives on it; the lease is revoked in the background. May be called from any thread, and
    /// again.
    pub fn close(&self) {
        self.end("the session is closed");
    }

    fn end(&self, text: &str) {
        // First the reason: what is forgotten is lost. After that the lease may be somebody else's.
        if self.holding.end(Error::new(Code::Closed, text)) {
            self.client.parts.keeper.forget(self.id);
        }
    }

    /// Waits until its lease is revoked, or left to its TTL.
    pub async fn gone(&self) {
        // An error would say that there is nobody who could tell.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// Renews the lease no longer, and leaves it and all keys on it to another process, which has a TTL's time to take
    /// it over.
    pub fn orphan(&self) -> Result<()> {
        self.holding.check()?;
        self.is_orphaned.store(true, Ordering::Relaxed);
        self.end("the session was left to another process");
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.discard();
    }
}

struct Task {
    client: Client,
    id: i64,
    holding: Arc<Holding>,
    is_orphaned: Arc<AtomicBool>,
}

impl Task {
    async fn run(self, renewals: Renewals) {
        tokio::select! {
            error = renewals.lost() => {
                self.holding.end(error);
            }
            _ = self.holding.ended() => {}
        }
        if !self.is_orphaned.load(Ordering::Relaxed) {
            self.client.end_lease(self.id, FAREWELL).await;
        }
    }
}
