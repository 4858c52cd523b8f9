//! What a program reads of a lease that is renewed in the background: answers to renewals, and its end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::state::News;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::pb::LeaseKeepAliveResponse;
use crate::etcd::readable::Readable;

/// What becomes of a lease that is renewed in the background.
pub struct Renewals {
    /// Held for the look only, never across an await.
    news: Mutex<watch::Receiver<News>>,
    closed: CancellationToken,
}

/// Answers to renewals, first the one that it began with. Of those that came while nobody asked there is the newest
/// only.
impl Readable for Renewals {
    type Item = LeaseKeepAliveResponse;

    fn take(&self) -> Option<Result<LeaseKeepAliveResponse>> {
        if self.closed.is_cancelled() {
            return Some(Err(Error::new(Code::Closed, "the stream is closed")));
        }
        let mut news = self.news();
        if let News::Lost(reason) = &*news.borrow() {
            return Some(Err(reason.clone()));
        }
        match news.has_changed() {
            Ok(false) => None,
            Ok(true) => match &*news.borrow_and_update() {
                News::Renewed(answer) => Some(Ok(*answer)),
                News::Lost(reason) => Some(Err(reason.clone())),
            },
            Err(_) => Some(Err(Error::closed())),
        }
    }

    fn put_back(&self, _: LeaseKeepAliveResponse) {
        self.news().mark_changed();
    }

    async fn ready(&self) {
        let mut news = self.news().clone();
        let changed = async {
            let lost = matches!(&*news.borrow(), News::Lost(_));
            if !lost {
                // An error means that there is nothing more to wait for.
                let _ = news.changed().await;
            }
        };
        self.closed.run_until_cancelled(changed).await;
    }
}

impl Renewals {
    pub(super) fn new(news: watch::Receiver<News>) -> Self {
        Self {
            news: Mutex::new(news),
            closed: CancellationToken::new(),
        }
    }

    /// Waits until the lease is lost; says why.
    pub(crate) async fn lost(&self) -> Error {
        loop {
            if let Err(error) = self.read().await {
                return error;
            }
        }
    }

    /// Ends what waits for news. The lease is renewed all the same. May be called from any thread, and again.
    pub fn close(&self) {
        self.closed.cancel();
    }

    fn news(&self) -> MutexGuard<'_, watch::Receiver<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
