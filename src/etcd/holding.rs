//! What is held until it is lost: a session, a lock, leadership.
//!
//! In: the lease that it lives under, and the reason when it is over. Out: whether it is held now, without a call, and
//! the reason for all who wait for it. Used from any thread.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::error::{Error, Result};
use super::readable::Readable;

/// Something that is held.
pub(crate) struct Holding {
    client: Client,
    lease: i64,
    /// What it is held on, and ends with.
    under: Option<Arc<Self>>,
    /// Why it is not held any longer.
    ended: watch::Sender<Option<Error>>,
}

impl Holding {
    pub(crate) fn new(client: Client, lease: i64, under: Option<Arc<Self>>) -> Arc<Self> {
        let ended = watch::Sender::new(None);
        Arc::new(Self {
            client,
            lease,
            under,
            ended,
        })
    }

    /// Is it held, as far as can be known without asking? Never longer than the server's lease. Else why not, from now on.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(error) = &*self.ended.borrow() {
            return Err(error.clone());
        }
        let checked = match &self.under {
            _ if self.client.is_closed() => Err(Error::closed()),
            Some(under) => under.check(),
            None => self.client.parts.keeper.check(self.lease),
        };
        checked.inspect_err(|error| {
            self.end(error.clone());
        })
    }

    /// It is over. The first reason stands; says whether that is it.
    pub(crate) fn end(&self, error: Error) -> bool {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(error);
            is_first
        })
    }

    /// Waits until it is over; says why.
    pub(crate) async fn ended(&self) -> Error {
        let mut ended = self.ended.subscribe();
        // Whoever could end it is `self`.
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ended| ended.clone());
        reason.unwrap_or_else(Error::closed)
    }

    /// What tells its end.
    pub(crate) fn losses(self: &Arc<Self>) -> Losses {
        Losses {
            holding: self.clone(),
            closed: CancellationToken::new(),
        }
    }
}

/// What tells the end of something that is held, again and again.
pub struct Losses {
    holding: Arc<Holding>,
    closed: CancellationToken,
}

/// Why something is held no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss(pub Error);

impl Losses {
    /// Waits no longer. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

impl Readable for Losses {
    type Item = Loss;

    fn take(&self) -> Option<Result<Loss>> {
        match self.holding.check() {
            Err(error) => Some(Ok(Loss(error))),
            Ok(()) => self.closed.is_cancelled().then(|| Err(Error::closed())),
        }
    }

    fn put_back(&self, _: Loss) {}

    async fn ready(&self) {
        self.closed.run_until_cancelled(self.holding.ended()).await;
    }
}
