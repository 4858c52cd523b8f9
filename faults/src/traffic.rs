//! The callers: each makes one call at a time through its own client and records it.
//!
//! Every written value is unique, so that each write can be told from all others in the store's history. A counter's
//! value begins with the count.

mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silly_etcd::etcd::pb::ResponseHeader;
use silly_etcd::etcd::{CallOptions, Client, Error};
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep_until};

use crate::history::{Action, Call, Content, History, Outcome};
use wire::{delete, everything, first, found, put, range, txn};

/// What everything begins with.
pub const PREFIX: &str = "k/";
const REGISTERS: [&str; 5] = ["k/a", "k/b", "k/c", "k/d", "k/e"];
const COUNTERS: [&str; 2] = ["k/counter/a", "k/counter/b"];
/// Written and read together only.
const PAIR: [&str; 2] = ["k/pair/a", "k/pair/b"];
/// Nothing is written here before the end.
pub const IDLE: &str = "k/idle";

/// The time from one call to the next.
const PERIOD: Duration = Duration::from_millis(35);

/// How the callers call who wait so long for one attempt, and try again so often.
pub const fn options(patience: Duration, retry: u32) -> CallOptions {
    CallOptions {
        timeout: patience,
        retry,
        retry_sleep: Duration::from_millis(100),
        ..CallOptions::DEFAULT
    }
}

/// Every key there is.
pub fn keys() -> Vec<&'static str> {
    [&REGISTERS[..], &COUNTERS, &PAIR, &[IDLE]].concat()
}

/// Is it a key that counts?
pub fn is_counter(key: &str) -> bool {
    COUNTERS.contains(&key)
}

/// The count in a counter's value.
pub fn count(value: &str) -> u64 {
    value
        .split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

/// One caller.
pub struct Caller {
    number: usize,
    client: Client,
    history: Arc<History>,
    written: u64,
    /// When each key was modified, as this caller knows.
    seen: HashMap<String, i64>,
}

impl Caller {
    pub fn new(number: usize, client: Client, history: Arc<History>) -> Self {
        Self {
            number,
            client,
            history,
            written: 0,
            seen: HashMap::new(),
        }
    }

    /// Calls on until told to stop, and only in its turn.
    pub async fn run(mut self, stop: Arc<AtomicBool>, turns: Arc<RwLock<()>>) {
        let mut next = Instant::now() + PERIOD.mul_f64(fastrand::f64());
        while !stop.load(Ordering::Relaxed) {
            sleep_until(next).await;
            let _turn = turns.read().await;
            next = Instant::now().max(next + PERIOD);
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let register = REGISTERS[fastrand::usize(..REGISTERS.len())];
        // The first only puts: no read that may be repeated elsewhere finds a better server for it.
        let dice = if self.number == 0 { 30 } else { fastrand::u32(..100) };
        match dice {
            0..24 => self.call(&[register], Action::Get).await,
            24..30 => self.call(&keys(), Action::SerializableGet).await,
            30..55 => {
                let value = self.unique();
                self.call(&[register], Action::Put(value)).await;
            }
            55..60 => self.call(&[register], Action::Delete).await,
            60..75 => {
                let value = self.unique();
                let expected = self.seen.get(register).copied().unwrap_or(0);
                self.call(&[register], Action::Swap { expected, value }).await;
            }
            75..88 => self.increment(COUNTERS[fastrand::usize(..COUNTERS.len())]).await,
            88..94 => {
                let value = self.unique();
                self.call(&PAIR, Action::Put(value)).await;
            }
            _ => self.call(&PAIR, Action::Get).await,
        }
    }

    /// Reads every key.
    pub async fn read_all(&mut self) {
        for key in keys() {
            self.call(&[key], Action::Get).await;
        }
    }

    /// Writes every key, then deletes it, so that every watch has an event to wait for. Says at which revisions.
    pub async fn finish(&mut self) -> Option<(i64, i64)> {
        let value = format!("0 {}", self.unique());
        self.call(&keys(), Action::Put(value)).await;
        let put = self.last()?.wrote()?;
        self.call(&keys(), Action::Delete).await;
        Some((put, self.last()?.wrote()?))
    }

    /// This caller's last call.
    fn last(&self) -> Option<Call> {
        let record = self.history.record();
        record
            .calls
            .iter()
            .rev()
            .find(|call| call.client == self.number)
            .cloned()
    }

    fn unique(&mut self) -> String {
        self.written += 1;
        format!("{}.{}", self.number, self.written)
    }

    async fn increment(&mut self, counter: &str) {
        self.call(&[counter], Action::Get).await;
        let Some(Outcome::Ok { found, .. }) = self.last().map(|call| call.outcome) else {
            return;
        };
        let before = found.into_iter().next().flatten();
        let expected = before.as_ref().map_or(0, |content| content.modified);
        let value = format!(
            "{} {}",
            before.map_or(0, |content| count(&content.value)) + 1,
            self.unique()
        );
        self.call(&[counter], Action::Swap { expected, value }).await;
    }

    /// Makes one call and records it.
    async fn call(&mut self, keys: &[&str], action: Action) {
        let called = self.history.now();
        let outcome = match send(&self.client, keys, &action).await {
            Ok(answer) => {
                // What may be old is nothing to build on.
                for (key, content) in keys
                    .iter()
                    .zip(&answer.found)
                    .filter(|_| action != Action::SerializableGet)
                {
                    let modified = content.as_ref().map_or(0, |content| content.modified);
                    self.seen.insert((*key).to_owned(), modified);
                }
                answer.into()
            }
            Err(error) => error.into(),
        };
        let returned = self.history.now();
        self.history.record().calls.push(Call {
            client: self.number,
            keys: keys.iter().map(ToString::to_string).collect(),
            action,
            called,
            returned,
            outcome,
        });
    }
}

struct Answer {
    revision: i64,
    swapped: bool,
    found: Vec<Option<Content>>,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Ok {
            revision: answer.revision,
            swapped: answer.swapped,
            found: answer.found,
        }
    }
}

async fn send(client: &Client, keys: &[&str], action: &Action) -> Result<Answer, Error> {
    let options = &client.options();
    let mut swapped = false;
    let (header, found) = match (keys, action) {
        (_, Action::SerializableGet) => {
            let answer = client.get(everything(), options).await?;
            let held = |key: &&str| answer.kvs.iter().find(|kv| kv.key == *key).cloned().map(Content::from);
            (answer.header, keys.iter().map(held).collect())
        }
        ([key], Action::Get) => {
            let answer = client.get(range(key), options).await?;
            (answer.header, vec![first(answer.kvs)])
        }
        ([key], Action::Put(value)) => {
            let answer = client.put(put(key, value), options).await?;
            (answer.header, vec![answer.prev_kv.map(Content::from)])
        }
        ([key], Action::Delete) => {
            let answer = client.delete(delete(key), options).await?;
            (answer.header, vec![first(answer.prev_kvs)])
        }
        _ => {
            let answer = client.txn(txn(keys, action), options).await?;
            swapped = matches!(action, Action::Swap { .. }) && answer.succeeded;
            let found = if swapped {
                Vec::new()
            } else {
                answer.responses.into_iter().map(found).collect()
            };
            (answer.header, found)
        }
    };
    Ok(Answer {
        revision: header.as_ref().map_or(0, |header: &ResponseHeader| header.revision),
        swapped,
        found,
    })
}
