//! One run: a cluster, the clients at work, a fault, and what the checks say of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use silly_etcd::etcd::{Address, Client, Config, TlsConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cells::{Cell, Way};
use crate::check::{Truth, Violation};
use crate::cluster::Cluster;
use crate::control::Reference;
use crate::faults;
use crate::history::{History, Record};
use crate::net::Network;
use crate::proxy::Proxy;
use crate::report::Row;
use crate::traffic::{Caller, OPTIONS};
use crate::watchers::Goal;
use crate::{leases, traffic, watchers};

/// When the faults happen, in parts of the window. A short one has the first only: a cluster needs time to recover.
const MOMENTS: [f64; 3] = [5.0 / 30.0, 12.0 / 30.0, 20.0 / 30.0];
const SHORT: Duration = Duration::from_secs(20);

/// How long the events that are still missing are waited for once all is well again.
const DRAIN: Duration = Duration::from_secs(30);

/// The callers that know every member, by number; the others know one each.
pub const ROAMERS: usize = 5;

/// What a fault works on.
pub struct Stage {
    pub cluster: Cluster,
    pub proxies: Vec<Proxy>,
    pub reference: Reference,
    /// The store has forgotten what was before this revision.
    pub compacted: i64,
    /// What the fault itself found wrong.
    pub violations: Vec<Violation>,
    tls: bool,
    history: Arc<History>,
    window: Duration,
    began: Instant,
}

impl Stage {
    /// How many moments there are.
    pub fn faults(&self) -> usize {
        if self.window < SHORT { 1 } else { MOMENTS.len() }
    }

    /// Waits for one of the moments, and notes it.
    pub async fn fault(&self, moment: usize) {
        sleep_until(self.began + self.window.mul_f64(MOMENTS[moment])).await;
        let now = self.history.now();
        self.history.record().faults.push(now);
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

    fn client(&self, members: impl IntoIterator<Item = usize>) -> Client {
        let address = |i: usize| Address::Tcp {
            host: self.cluster.members[i].host.clone(),
            port: self
                .proxies
                .get(i)
                .map_or(self.cluster.members[i].client_port, |proxy| proxy.port),
        };
        // The members vouch for themselves.
        let trusting = TlsConfig {
            insecure_skip_verify: true,
            ..TlsConfig::default()
        };
        Client::new(Config {
            endpoints: members.into_iter().map(address).collect(),
            tls: self.tls.then_some(trusting),
            credentials: None,
            options: OPTIONS,
        })
    }
}

/// Runs a cell and judges it.
pub async fn run(cell: &Cell, window: Duration) -> Result<Row> {
    let network = match (cell.way == Way::Network).then(|| Network::new(3)) {
        None => None,
        Some(Ok(network)) => Some(network),
        Some(Err(reason)) => return Ok(Row::skipped(cell.name, format!("{reason:#}"))),
    };
    let cluster = Cluster::start(cell, network).await?;
    let mut proxies = Vec::new();
    let proxied = matches!(cell.way, Way::Proxies | Way::Tls);
    for member in cluster.members.iter().filter(|_| proxied) {
        proxies.push(Proxy::start(member.client_port).await?);
    }
    let history = Arc::new(History::new());
    let mut stage = Stage {
        cluster,
        proxies,
        reference: Reference::default(),
        compacted: 0,
        violations: Vec::new(),
        tls: cell.way == Way::Tls,
        history: history.clone(),
        window,
        began: Instant::now(),
    };

    let stop = Arc::new(AtomicBool::new(false));
    let (goal, goals) = watch::channel(None);
    let (let_go, letting_go) = watch::channel(false);
    let everywhere = || stage.client(0..3);
    let mut callers = JoinSet::new();
    for number in 0..ROAMERS + 3 {
        let client = if number < ROAMERS {
            everywhere()
        } else {
            stage.client([number - ROAMERS])
        };
        callers.spawn(Caller::new(number, client, history.clone()).run(stop.clone()));
    }
    let mut others = JoinSet::new();
    others.spawn(leases::run(
        vec![everywhere(), everywhere()],
        history.clone(),
        letting_go,
    ));
    let mut readers = JoinSet::new();
    readers.spawn(watchers::run(
        vec![everywhere(), everywhere()],
        history.clone(),
        stop.clone(),
        goals,
    ));

    faults::run(cell, &mut stage).await?;
    stage.cluster.heal().await?;
    stage.proxies.iter().for_each(Proxy::heal);

    stop.store(true, Ordering::Relaxed);
    join(callers).await.context("the callers")?;
    let mut closer = Caller::new(ROAMERS + 3, stage.client(0..3), history.clone());
    closer.read_all().await;
    let mut finished = None;
    for _ in 0..10 {
        finished = closer.finish().await;
        if finished.is_some() {
            break;
        }
    }
    let (put, delete) = finished.with_context(|| {
        let record = history.record();
        let last = record.calls.last().map(ToString::to_string).unwrap_or_default();
        format!("the healed cluster does not answer: {last}")
    })?;
    goal.send_replace(Some(Goal {
        put,
        delete,
        limit: Instant::now() + DRAIN,
    }));
    join(readers).await.context("the readers")?;
    let end = history.now();
    stage
        .reference
        .advance(&stage.cluster.members[0].control.clone())
        .await?;
    let_go.send_replace(true);
    join(others).await.context("the holders")?;

    let record: Record = std::mem::take(&mut *history.record());
    ensure!(record.leases.len() == leases::COUNT, "some leases are not recorded");
    let truth = Truth {
        calls: &record.calls,
        events: &stage.reference.events,
        compacted: stage.compacted,
    };
    let mut row = Row::judge(cell, &record, truth, end, traffic::PREFIX);
    // A short run is a test among others, on a machine that has more to do.
    if window >= SHORT {
        row.judge_times(cell);
    }
    row.violations.append(&mut stage.violations);
    if !row.violations.is_empty() {
        eprintln!(
            "the record of {} is in {}",
            cell.name,
            row.save(&record, truth)?.display()
        );
    }
    Ok(row)
}

/// Waits for all tasks, and passes their panics on.
async fn join(mut tasks: JoinSet<()>) -> Result<()> {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
    };
    timeout(DRAIN * 2, all).await.context("do not end")
}
