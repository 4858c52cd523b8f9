//! The lockers: each takes a lock again and again, and counts while it holds it, by a write that is guarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silly_etcd::etcd::pb::{PutRequest, RangeRequest};
use silly_etcd::etcd::{Client, ContendRequest, Contender, Error, Mode, SessionLease, SessionRequest, Under};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::history::{History, Outcome};

const COUNT: usize = 4;

/// What is locked: the keys of its queue begin with it and a slash.
pub const NAME: &str = "lock/name";
/// What is counted while it is held.
pub const COUNTER: &str = "lock/counter";
/// What all of that begins with.
pub const PREFIX: &str = "lock/";

/// In seconds. The faults last longer.
const TTL: i64 = 2;

/// How long a lock is held, and the time from one to the next.
const PERIOD: Duration = Duration::from_millis(20);

/// One write under the lock.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Told from all others.
    pub value: String,
    pub outcome: Outcome,
}

/// Locks and counts until told to stop. Returns when all locks are given up.
pub async fn run(client: Client, history: Arc<History>, stop: Arc<AtomicBool>) {
    let mut lockers = JoinSet::new();
    for number in 0..COUNT {
        let locker = Locker {
            number,
            client: client.clone(),
            history: history.clone(),
            written: 0,
        };
        lockers.spawn(locker.run(stop.clone()));
    }
    lockers.join_all().await;
}

struct Locker {
    number: usize,
    client: Client,
    history: Arc<History>,
    written: u64,
}

impl Locker {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            // Half of them have a session each time, the others a lease of the lock's own.
            if let Err(error) = self.lock().await {
                self.history.record().refused.push(error.to_string());
            }
            sleep(PERIOD).await;
        }
    }

    async fn lock(&mut self) -> Result<(), Error> {
        let options = self.client.options();
        let request = SessionRequest {
            lease: SessionLease::New(TTL),
            marker: None,
        };
        let session = match self.number % 2 {
            0 => None,
            _ => Some(Arc::new(self.client.session(request, &options).await?)),
        };
        let request = ContendRequest {
            name: NAME.into(),
            value: self.number.to_string().into(),
            mode: Mode::Exclusive,
            under: session.clone().map_or(Under::Own(TTL), Under::Session),
            resume: None,
            wait: Some(Duration::from_secs(1)),
        };
        let held = self.client.contend(request, options).await?;
        let counted = self.count(&held).await;
        sleep(PERIOD).await;
        held.close();
        // Where it could not be given up its lease ends.
        let _ = held.gone().await;
        if let Some(session) = session {
            session.close();
            session.gone().await;
        }
        counted
    }

    /// Reads the counter, and writes one more if the lock is held still.
    async fn count(&mut self, held: &Contender) -> Result<(), Error> {
        let options = self.client.options();
        let read = RangeRequest {
            key: COUNTER.into(),
            ..RangeRequest::default()
        };
        let found = self.client.get(read, &options).await?.kvs.into_iter().next();
        let found = found.map_or(0, |kv| crate::traffic::count(&String::from_utf8_lossy(&kv.value)));
        self.written += 1;
        let value = format!("{} {} {}.{}", found + 1, held.revision, self.number, self.written);
        let put = PutRequest {
            key: COUNTER.into(),
            value: value.clone().into(),
            ..PutRequest::default()
        };
        let outcome = match held.guarded.put(put, &options).await {
            Ok(response) => Outcome::Ok {
                revision: response.header.map_or(0, |header| header.revision),
                swapped: false,
                found: Vec::new(),
            },
            Err(error) => error.into(),
        };
        self.history.record().counted.push(Counted { value, outcome });
        Ok(())
    }
}
