//! What brings one thing after another: a watch its responses, a lease that is kept its renewals.
//!
//! Taking and waiting are two steps, so that nothing is ever on its way to a reader who has gone meanwhile. Both may be
//! done on any thread.

use std::time::Duration;

use tokio::time::timeout;

use super::error::Result;

/// A source of things that are read one by one.
pub trait Readable: Send + Sync + 'static {
    /// What it brings.
    type Item: Send;

    /// The next that has come, or after the last why there are no more. `None`: there is nothing yet.
    fn take(&self) -> Option<Result<Self::Item>>;

    /// Makes what was taken last the next again.
    fn put_back(&self, item: Self::Item);

    /// Waits until there is something to take, for as long as it takes. Another reader may then be faster.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Waits until there is something to take, for `limit` at most. Says whether there is.
    fn wait(&self, limit: Option<Duration>) -> impl Future<Output = bool> + Send {
        async move {
            match limit {
                None => {
                    self.ready().await;
                    true
                }
                Some(limit) => timeout(limit, self.ready()).await.is_ok(),
            }
        }
    }

    /// Waits for the next and takes it.
    fn read(&self) -> impl Future<Output = Result<Self::Item>> + Send {
        async {
            loop {
                if let Some(next) = self.take() {
                    return next;
                }
                self.ready().await;
            }
        }
    }
}
