//! What a fault works on: the cluster, what is before it, and the clock of the run.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use silly_etcd::etcd::{Client, Config, Credentials, Level, TlsConfig};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::time::{Instant, sleep_until};

use crate::cells::{Cell, Way};
use crate::check::Violation;
use crate::check::lives::Past;
use crate::cluster::Cluster;
use crate::front::Front;
use crate::history::{History, Record, Time};
use crate::net::Network;
use crate::reference::Reference;
use crate::{story, traffic, users};

/// When the faults happen, in parts of the window. A short one has the first only: a cluster needs time to recover.
const MOMENTS: [f64; 3] = [5.0 / 30.0, 12.0 / 30.0, 20.0 / 30.0];
pub const SHORT: Duration = Duration::from_secs(20);

/// The callers that know every member, by number; the others know one each.
pub const ROAMERS: usize = 5;
/// All callers.
pub const CALLERS: usize = ROAMERS + 3;

/// What a fault works on.
pub struct Stage {
    pub cluster: Cluster,
    pub front: Front,
    pub reference: Reference,
    /// The store has forgotten what was before this revision.
    pub compacted: i64,
    /// The lives of the store that are over.
    pub past: Vec<Past>,
    /// So often authentication was switched off and on again.
    pub switched: usize,
    /// What the fault itself found wrong.
    pub violations: Vec<Violation>,
    cell: Cell,
    turns: Arc<RwLock<()>>,
    history: Arc<History>,
    window: Duration,
    began: Instant,
}

/// A fault for as long as this is kept.
#[must_use]
pub struct Fault {
    history: Arc<History>,
    began: Time,
}

impl Drop for Fault {
    fn drop(&mut self) {
        let now = self.history.now();
        self.history.record().faults.push((self.began, now));
    }
}

impl Stage {
    /// The window begins now.
    pub fn new(cell: &Cell, cluster: Cluster, front: Front, history: Arc<History>, window: Duration) -> Self {
        Self {
            cluster,
            front,
            reference: Reference::default(),
            compacted: 0,
            past: Vec::new(),
            switched: 0,
            violations: Vec::new(),
            cell: *cell,
            turns: Arc::default(),
            history,
            window,
            began: Instant::now(),
        }
    }

    /// Without it no caller calls.
    pub fn turns(&self) -> Arc<RwLock<()>> {
        self.turns.clone()
    }

    /// How many moments there are.
    pub fn faults(&self) -> usize {
        if self.window < SHORT { 1 } else { MOMENTS.len() }
    }

    /// Waits for one of the moments. A fault begins then, and ends when what it returns is dropped.
    pub async fn fault(&self, moment: usize) -> Fault {
        sleep_until(self.began + self.window.mul_f64(MOMENTS[moment])).await;
        self.begin()
    }

    /// A fault begins now.
    pub fn begin(&self) -> Fault {
        Fault {
            history: self.history.clone(),
            began: self.history.now(),
        }
    }

    /// A time that is so many seconds in a window of 30.
    pub fn scaled(&self, seconds: f64) -> Duration {
        self.window.mul_f64(seconds / 30.0)
    }

    /// Is there still time for faults?
    pub fn lasts(&self) -> bool {
        self.began.elapsed() < self.window.mul_f64(0.8)
    }

    /// Waits for the window's end.
    pub async fn end(&self) {
        sleep_until(self.began + self.window).await;
    }

    /// The network, in the cells that have one.
    pub fn network(&self) -> Result<&Network> {
        self.cluster.network.as_ref().context("this cell has no network")
    }

    /// Lets the callers rest, who end the calls under way, until what it returns is dropped.
    pub async fn rest(&self) -> OwnedRwLockWriteGuard<()> {
        self.turns.clone().write_owned().await
    }

    /// The present, for the record.
    pub fn now(&self) -> Time {
        self.history.now()
    }

    /// Where everything is recorded.
    pub fn history(&self) -> Arc<History> {
        self.history.clone()
    }

    /// What was recorded so far; to be held for a moment only.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.history.record()
    }

    /// A client of these members that waits so long for one attempt. Its number says who it is, where that matters.
    pub fn client(&self, number: usize, members: impl IntoIterator<Item = usize>, patience: Duration) -> Client {
        self.client_of(self.cell.users.then(|| users::credentials(number)), members, patience)
    }

    /// The same, by what it logs in with.
    pub fn client_of(
        &self,
        credentials: Option<Credentials>,
        members: impl IntoIterator<Item = usize>,
        patience: Duration,
    ) -> Client {
        // The members vouch for themselves.
        let trusting = TlsConfig {
            insecure_skip_verify: true,
            ..TlsConfig::default()
        };
        Client::new(Config {
            tls: (self.cell.way == Way::Tls).then_some(trusting),
            credentials,
            options: traffic::options(patience, self.cell.retry),
            level: Level::Info,
            slow: Some(story::SLOW),
            ..Config::new(self.front.addresses(members))
        })
    }

    /// The clients of the callers, in the order of their numbers.
    pub fn callers(&self) -> Vec<Client> {
        let everywhere = |number| self.client(number, 0..3, self.cell.patience);
        let roamers: Vec<_> = if self.cell.shared {
            vec![everywhere(0); ROAMERS]
        } else {
            (0..ROAMERS).map(everywhere).collect()
        };
        let residents = (0..3).map(|member| self.client(ROAMERS + member, [member], self.cell.patience));
        roamers.into_iter().chain(residents).collect()
    }
}
