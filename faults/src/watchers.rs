//! The readers: each has a watch and records what it delivers.

mod kinds;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silly_etcd::etcd::pb::watch_create_request::FilterType;
use silly_etcd::etcd::pb::{RangeRequest, WatchCreateRequest, WatchResponse};
use silly_etcd::etcd::{Client, Code, Readable, range};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::history::{Batch, Event, History, Time, Wanted, Watch, WatchEnd};
use crate::traffic::PREFIX;

/// A slow reader pauses so long after so many answers.
const DAWDLE: Duration = Duration::from_millis(500);
const GULP: usize = 100;

/// When the watches may stop. Told to all of them at the end.
pub type Goals = watch::Receiver<Option<Goal>>;

/// The last events that there are, and until when to wait for them.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub put: i64,
    pub delete: i64,
    pub limit: Instant,
}

/// Starts the steady watches on `clients` in turn, a crowd on the last, and others at random until `stop`. Returns when
/// all have ended.
pub async fn run(clients: Vec<Client>, size: usize, history: Arc<History>, stop: Arc<AtomicBool>, goal: Goals) {
    let mut readers = JoinSet::new();
    for (i, (name, slow, wanted)) in kinds::steady().into_iter().enumerate() {
        let client = pick(&clients, i % clients.len());
        readers.spawn(reader(
            name.to_owned(),
            slow,
            client,
            wanted,
            None,
            history.clone(),
            goal.clone(),
        ));
    }
    for (name, wanted) in kinds::crowd(size) {
        let client = pick(&clients, clients.len() - 1);
        readers.spawn(reader(name, false, client, wanted, None, history.clone(), goal.clone()));
    }
    let mut number = 0;
    loop {
        sleep(Duration::from_millis(fastrand::u64(200..1500))).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        number += 1;
        let newest = history
            .record()
            .calls
            .iter()
            .rev()
            .find_map(|call| call.revision())
            .unwrap_or(0);
        let wanted = Wanted {
            key: PREFIX.to_owned(),
            prefix: true,
            start: if fastrand::bool() {
                0
            } else {
                (newest - fastrand::i64(0..200)).max(1)
            },
            previous: fastrand::bool(),
            ..Wanted::default()
        };
        // Every other one lives to the end.
        let life = (number % 2 == 0).then(|| Duration::from_millis(fastrand::u64(100..5000)));
        let client = pick(&clients, fastrand::usize(..clients.len()));
        let name = format!("at random {number}");
        readers.spawn(reader(name, false, client, wanted, life, history.clone(), goal.clone()));
    }
    readers.join_all().await;
}

fn pick(clients: &[Client], number: usize) -> (usize, Client) {
    (number, clients[number].clone())
}

async fn reader(
    name: String,
    slow: bool,
    (number, client): (usize, Client),
    wanted: Wanted,
    life: Option<Duration>,
    history: Arc<History>,
    goal: Goals,
) {
    let mut wanted = wanted;
    loop {
        let called = history.now();
        let created = client.watch(request(&wanted), &client.options()).await;
        if goal.borrow().is_some() {
            // There may be nothing left to wait for.
            return;
        }
        let mut watch = Watch {
            name: name.clone(),
            client: number,
            wanted: wanted.clone(),
            called,
            confirmed: history.now(),
            batches: Vec::new(),
            ended: 0,
            end: WatchEnd::Complete,
            slow,
        };
        let watcher = match created {
            Ok(watcher) => watcher,
            // No server answered, which the caller is told: it may ask again.
            Err(error) if error.code != Code::Compacted => {
                sleep(DAWDLE).await;
                continue;
            }
            Err(error) => {
                wanted.start = error.compact_revision.map_or(0, after);
                continue;
            }
        };
        let until = life.map(|life| Instant::now() + life);
        watch.end = read(&watcher, &mut watch, until, &history, goal.clone()).await;
        watch.ended = history.now();
        let end = watch.end.clone();
        let next = watch.last().map(|revision| revision + 1);
        let restored = history.record().restored.last().is_some_and(|time| *time > called);
        history.record().watches.push(watch);
        match end {
            // As a program would that wants to go on with what is left.
            WatchEnd::Compacted(_) if restored => wanted.start = present(&client).await + 1,
            WatchEnd::Compacted(revision) => wanted.start = after(revision),
            WatchEnd::Denied(_) => wanted.start = next.unwrap_or(wanted.start),
            WatchEnd::Complete | WatchEnd::Closed | WatchEnd::Broken(_) => return,
        }
    }
}

/// Reads what there is, and says at which revision that was.
async fn present(client: &Client) -> i64 {
    let request = RangeRequest {
        key: PREFIX.into(),
        count_only: true,
        ..RangeRequest::default()
    };
    loop {
        match client.get(request.clone(), &client.options()).await {
            Ok(answer) => return answer.header.map_or(0, |header| header.revision),
            Err(_) => sleep(DAWDLE).await,
        }
    }
}

/// Where a watch goes on that was too late. Servers before 3.4.36, 3.5.18 forget a delete at the very revision up to
/// which they were compacted, though they offer it.
fn after(compacted: i64) -> i64 {
    compacted + 1
}

/// Reads until the watch ends, its life is over, or it has come to the goal.
async fn read(
    watcher: &silly_etcd::etcd::Watcher,
    watch: &mut Watch,
    until: Option<Instant>,
    history: &History,
    mut goal: Goals,
) -> WatchEnd {
    loop {
        let at = watch.last().unwrap_or(0);
        let target = *goal.borrow();
        if target.is_some_and(|goal| at >= if watch.wanted.no_delete { goal.put } else { goal.delete }) {
            return WatchEnd::Complete;
        }
        let far = Instant::now() + Duration::from_secs(3600);
        let limit = target
            .map(|goal| goal.limit)
            .into_iter()
            .chain(until)
            .min()
            .unwrap_or(far);
        let answer = tokio::select! {
            answer = timeout_at(limit, watcher.read()) => answer,
            _ = goal.changed(), if target.is_none() => continue,
        };
        match answer {
            Ok(Ok(answer)) => {
                watch.batches.push(batch(answer, history.now()));
                if watch.slow && watch.batches.len().is_multiple_of(GULP) {
                    sleep(DAWDLE).await;
                }
            }
            Ok(Err(error)) => {
                return match error.code {
                    Code::PermissionDenied => WatchEnd::Denied(error.to_string()),
                    Code::Compacted => WatchEnd::Compacted(error.compact_revision.unwrap_or(0)),
                    _ => WatchEnd::Broken(error.to_string()),
                };
            }
            Err(_) if until.is_some_and(|until| until <= Instant::now()) => return WatchEnd::Closed,
            // What is missing then is lost.
            Err(_) => return WatchEnd::Complete,
        }
    }
}

fn batch(answer: WatchResponse, arrived: Time) -> Batch {
    Batch {
        arrived,
        revision: answer.header.as_ref().map_or(0, |header| header.revision),
        events: answer.events.into_iter().map(Event::from).collect(),
    }
}

fn request(wanted: &Wanted) -> WatchCreateRequest {
    let key = wanted.key.clone().into();
    let (key, range_end) = if wanted.prefix {
        range::prefix(key)
    } else {
        (key, "".into())
    };
    let filters = [
        (wanted.no_put, FilterType::Noput),
        (wanted.no_delete, FilterType::Nodelete),
    ];
    WatchCreateRequest {
        key,
        range_end,
        start_revision: wanted.start,
        progress_notify: wanted.progress,
        prev_kv: wanted.previous,
        filters: filters
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, filter)| filter.into())
            .collect(),
        ..WatchCreateRequest::default()
    }
}
