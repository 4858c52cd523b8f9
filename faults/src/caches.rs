//! The caches: each is read again and again, and its changes are followed, whatever becomes of the cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use silly_etcd::etcd::pb::mvccpb::event::EventType;
use silly_etcd::etcd::pb::{Event, KeyValue, RangeRequest};
use silly_etcd::etcd::{Cache, CacheRequest, Changes, Client, Query, Readable, range};
use tokio::time::{Instant, sleep, timeout_at};

use crate::history::{Action, Call, Content, History, Outcome, Time};
use crate::traffic::{self, PREFIX};
use crate::watchers::Goals;

/// The time from one read to the next.
const PERIOD: Duration = Duration::from_millis(20);

/// Reads a cache of all keys until it has come to the goal. What is read is recorded as reads of one member: old
/// perhaps, and right at its revision.
pub async fn run(client: Client, history: Arc<History>, mut goal: Goals) {
    let (key, end) = range::prefix(PREFIX.into());
    let request = CacheRequest {
        key,
        range_end: end,
        wait: Duration::from_secs(3600),
        page: 1000,
        file: None,
    };
    let cache = match client.cache(request, client.options()).await {
        Ok(cache) => cache,
        Err(error) => return fail(&history, format!("no cache was made: {error}")),
    };
    let changes = match cache.changes(cache.range(), true) {
        Ok(changes) => changes,
        Err(error) => return fail(&history, format!("no changes are to be had: {error}")),
    };
    let mut model = HashMap::new();
    loop {
        let target = *goal.borrow_and_update();
        if let Err(problem) = read(&cache, &history).and_then(|()| follow(&changes, &mut model)) {
            fail(&history, problem);
        }
        let at = cache.status().revision;
        match target {
            Some(target) if at >= target.put.max(target.delete) => break,
            Some(target) if target.limit <= Instant::now() => {
                return fail(&history, format!("{:?} did not come to {target:?}", cache.status()));
            }
            _ => sleep(PERIOD).await,
        }
    }
    // What has come between the read and now.
    let limit = Instant::now() + PERIOD;
    while timeout_at(limit, changes.ready()).await.is_ok() {
        if let Err(problem) = follow(&changes, &mut model) {
            fail(&history, problem);
        }
    }
    let whole = cache.view(&cache.range()).unwrap_or_default();
    let here: HashMap<_, _> = whole.iter().map(|kv| (kv.key.clone(), KeyValue::clone(kv))).collect();
    if here != model {
        fail(
            &history,
            format!("the changes come to {model:?}, and the cache has {here:?}"),
        );
    }
}

/// Records what the cache has.
fn read(cache: &Cache, history: &History) -> Result<(), String> {
    let called = history.now();
    let (key, range_end) = range::prefix(PREFIX.into());
    let query = Query::new(RangeRequest {
        key,
        range_end,
        ..RangeRequest::default()
    });
    let response = cache
        .get(&query)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let found: HashMap<_, _> = response.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
    let keys = traffic::keys();
    let contents = keys
        .iter()
        .map(|key| found.get(key.as_bytes()).cloned().map(Content::from));
    let outcome = Outcome::Ok {
        revision: response.header.map_or(0, |header| header.revision),
        swapped: false,
        found: contents.collect(),
    };
    record(history, keys.iter().map(ToString::to_string).collect(), called, outcome);
    Ok(())
}

/// Takes what has changed, which must begin where the model stands.
fn follow(changes: &Changes, model: &mut HashMap<Bytes, KeyValue>) -> Result<(), String> {
    let Some(changed) = changes.take() else {
        return Ok(());
    };
    let changed = changed.map_err(|error| format!("the changes have ended: {error}"))?;
    for event in changed.events {
        let kind = event.r#type();
        let Event { kv, prev_kv, .. } = event;
        let kv = kv.unwrap_or_default();
        let key = kv.key.clone();
        let before = match kind {
            EventType::Put => model.insert(key, kv),
            EventType::Delete => model.remove(&key),
        };
        if before != prev_kv {
            return Err(format!(
                "a change begins with {prev_kv:?}, and what was seen is {before:?}"
            ));
        }
    }
    Ok(())
}

fn fail(history: &History, problem: String) {
    record(history, Vec::new(), history.now(), Outcome::Failed(problem));
}

fn record(history: &History, keys: Vec<String>, called: Time, outcome: Outcome) {
    let call = Call {
        client: 0,
        keys,
        action: Action::SerializableGet,
        called,
        returned: history.now(),
        outcome,
    };
    history.record().cached.push(call);
}
