//! The listeners: each hears one client from its beginning on, what it tells and what it counts.
//!
//! In: clients, under the names of what they do. Out, at the end of a run: of each a [`Told`], for the check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use silly_etcd::etcd::pb::RangeRequest;
use silly_etcd::etcd::{CallOptions, Client, METRICS, Number, Readable, Record, Records, Sample, Spread};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::traffic::IDLE;

/// A call that takes so long is slow.
pub const SLOW: Duration = Duration::from_secs(1);

/// The time from one look at the numbers to the next.
const PERIOD: Duration = Duration::from_millis(100);

/// So long after everything was let go, a client may be busy with that.
const CALM: Duration = Duration::from_secs(5);

/// Everything that a client has told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// What it is for.
    pub name: String,
    pub records: Vec<Record>,
    /// Its numbers at the end.
    pub numbers: Numbers,
    /// The largest that each of them was.
    pub peaks: Numbers,
    /// The shortest time that a lease had left, in seconds.
    pub margin: Option<f64>,
}

/// The numbers of a client, by their names and labels. Of a histogram it is how many took longer than [`SLOW`].
#[derive(Debug, Clone, Default)]
pub struct Numbers(pub HashMap<(&'static str, Vec<String>), f64>);

impl Numbers {
    /// All numbers of a name together, or those that have this label.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let of_name = self.0.iter().filter(|((other, _), _)| *other == name);
        let labelled = of_name.filter(|((_, labels), _)| label.is_empty() || labels.iter().any(|other| other == label));
        labelled.map(|(_, number)| number).sum()
    }

    fn of(samples: Vec<Sample>) -> Self {
        let each = samples.into_iter().map(|sample| {
            let number = match sample.number {
                Number::Count(count) => count as f64,
                Number::Revision(revision) => revision as f64,
                Number::Seconds(seconds) => seconds,
                Number::Spread(spread) => slower(&spread) as f64,
            };
            ((METRICS[sample.family].name, sample.labels), number)
        });
        Self(each.collect())
    }

    fn raise(&mut self, to: &Self) {
        for (key, number) in &to.0 {
            let peak = self.0.entry(key.clone()).or_default();
            *peak = peak.max(*number);
        }
    }

    /// Is nothing under way, and nothing held?
    fn are_calm(&self) -> bool {
        CALM_AT.iter().all(|(name, label)| self.sum(name, label) == 0.0)
    }
}

/// How many took longer than [`SLOW`].
fn slower(spread: &Spread) -> u64 {
    let bounds = Spread::bounds().iter();
    let quick = bounds
        .zip(&spread.counts)
        .filter(|(bound, _)| **bound <= SLOW.as_secs_f64());
    spread.count() - quick.map(|(_, count)| *count).max().unwrap_or(0)
}

/// What is 0 once everything was let go.
pub const CALM_AT: [(&str, &str); 4] = [
    ("calls_inflight", ""),
    ("watches", "stale"),
    ("locks_held", ""),
    ("registrations", ""),
];

/// Everybody who listens.
#[derive(Default)]
pub struct Listeners(Vec<Listener>);

struct Listener {
    client: Client,
    records: Arc<Records>,
    told: JoinHandle<Told>,
}

impl Listeners {
    /// Listens to a client from now on.
    pub fn hear(&mut self, name: impl Into<String>, client: &Client) {
        let records = Arc::new(client.records());
        let told = tokio::spawn(listen(name.into(), client.clone(), records.clone()));
        self.0.push(Listener {
            client: client.clone(),
            records,
            told,
        });
    }

    /// What everybody has heard. First each client reads once more, so that it has found a server again, and becomes calm.
    pub async fn end(self) -> Result<Vec<Told>> {
        let limit = Instant::now() + CALM;
        let mut all = Vec::new();
        for Listener { client, records, told } in self.0 {
            let read = RangeRequest {
                key: IDLE.into(),
                ..RangeRequest::default()
            };
            client.get(read, &CallOptions::DEFAULT).await?;
            while !Numbers::of(client.samples()).are_calm() && Instant::now() < limit {
                sleep(PERIOD).await;
            }
            // Those that are there are read nevertheless.
            records.close();
            all.push(told.await?);
        }
        Ok(all)
    }
}

/// Notes what a client tells and counts, until the records are closed.
async fn listen(name: String, client: Client, records: Arc<Records>) -> Told {
    let mut told = Told {
        name,
        ..Told::default()
    };
    let mut looks = interval(PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            record = records.read() => match record {
                Ok(record) => told.records.push(record),
                Err(_) => break,
            },
            _ = looks.tick() => told.look(&client),
        }
    }
    told.look(&client);
    told
}

impl Told {
    fn look(&mut self, client: &Client) {
        self.numbers = Numbers::of(client.samples());
        self.peaks.raise(&self.numbers);
        let margin = self.numbers.0.get(&("lease_margin_seconds", Vec::new()));
        self.margin = self.margin.into_iter().chain(margin.copied()).reduce(f64::min);
    }
}
