//! The entries: each is registered for the whole run. What says that it is held is held, and once all is well again
//! each is there, under its own lease, until it is closed.

use std::sync::Arc;
use std::time::Duration;

use silly_etcd::etcd::pb::{KeyValue, RangeRequest};
use silly_etcd::etcd::{Client, Error, RegisterRequest, Registration};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::history::History;

const COUNT: usize = 5;

/// What their keys begin with: nothing else is written there.
pub const PREFIX: &str = "entry/";

/// In seconds. The faults last several times as long.
const TTL: i64 = 2;

/// The time from one look to the next.
const PERIOD: Duration = Duration::from_millis(100);

/// So soon after all is well each is there. They wait for up to a second between two attempts.
const BACK: Duration = Duration::from_secs(10);

/// Keeps entries until `stop`. Returns when all are gone.
pub async fn run(client: Client, history: Arc<History>, stop: watch::Receiver<bool>) {
    let mut entries = JoinSet::new();
    for number in 0..COUNT {
        let entry = Entry {
            client: client.clone(),
            key: format!("{PREFIX}{number}"),
            history: history.clone(),
        };
        entries.spawn(entry.run(stop.clone()));
    }
    entries.join_all().await;
}

struct Entry {
    client: Client,
    key: String,
    history: Arc<History>,
}

impl Entry {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let request = RegisterRequest {
            key: self.key.clone().into(),
            value: self.key.clone().into(),
            ttl: TTL,
            replace: false,
            wait: Duration::from_secs(3600),
        };
        let registration = match self.client.register(request, self.client.options()).await {
            Ok(registration) => registration,
            Err(error) => return self.fail(format!("it was not made: {error}")),
        };
        loop {
            tokio::select! {
                () = self.look(&registration) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.is_back(&registration).await;
        registration.close();
        registration.gone().await;
        match self.get().await {
            Ok(None) => {}
            Ok(Some(kv)) => self.fail(format!("it was closed, and there is {kv:?}")),
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// What is held from before a read until after it is there.
    async fn look(&self, registration: &Registration) {
        sleep(PERIOD).await;
        let held = || registration.is_held().then(|| registration.status());
        let before = held();
        let Ok(found) = self.get().await else { return };
        if let (Some(before), Some(after)) = (before, held())
            && before == after
            && found.is_none_or(|kv| kv.lease != before.lease)
        {
            let problem = format!("{}: {after:?}", self.key);
            self.history.record().unheld.push(problem);
        }
    }

    /// Once all is well it is there.
    async fn is_back(&self, registration: &Registration) {
        let limit = Instant::now() + BACK;
        loop {
            let found = self.get().await;
            let status = registration.status();
            match found {
                Ok(Some(kv)) if status.registered && kv.lease == status.lease && kv.value == self.key => return,
                found if limit <= Instant::now() => {
                    return self.fail(format!("{status:?}, and there is {found:?}"));
                }
                _ => sleep(PERIOD).await,
            }
        }
    }

    async fn get(&self) -> Result<Option<KeyValue>, Error> {
        let request = RangeRequest {
            key: self.key.clone().into(),
            ..RangeRequest::default()
        };
        let response = self.client.get(request, &self.client.options()).await?;
        Ok(response.kvs.into_iter().next())
    }

    fn fail(&self, problem: String) {
        let problem = format!("{}: {problem}", self.key);
        self.history.record().unregistered.push(problem);
    }
}
