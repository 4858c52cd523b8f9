//! Writes to a real etcd over connections that break where its answers should be: none happens twice, and each is
//! told by its outcome. Needs `ETCD_ENDPOINTS`, as `make test` sets it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use silly_etcd::etcd::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use silly_etcd::etcd::pb::mvccpb::event::EventType;
use silly_etcd::etcd::pb::request_op::Request;
use silly_etcd::etcd::pb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest};
use silly_etcd::etcd::{
    Applied, CallOptions, Client, Committed, Increment, Isolation, Readable, SessionLease, SessionRequest, Transaction,
    range,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::support::{ONCE, client, etcd, listen, ports};

const WRITERS: usize = 8;
/// How often each of them writes.
const WRITES: usize = 125;

const OPTIONS: CallOptions = CallOptions {
    retry: 1000,
    retry_sleep: Duration::from_millis(10),
    ..ONCE
};

/// One write: its value, and whether it was answered; `None` where nobody can tell.
type Write = (String, Option<bool>);

/// Passes all requests on, and of each connection's answers as many bytes as chance will have. In place of the answer
/// that comes then it closes the connection.
async fn swallow(mut client: TcpStream, etcd: SocketAddr) {
    let etcd = TcpStream::connect(etcd).await.unwrap();
    etcd.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let (mut answers, mut to_etcd) = etcd.into_split();
    let (mut requests, mut to_client) = client.split();
    let mut left = fastrand::usize(100..1500);
    let down = async {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = answers.read(&mut bytes).await {
            let passed = length.min(left);
            left -= passed;
            if to_client.write_all(&bytes[..passed]).await.is_err() || left == 0 {
                break;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut requests, &mut to_etcd) => {}
    }
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told<T>(answer: &Result<T, silly_etcd::etcd::Error>) -> Option<bool> {
    match answer {
        Ok(_) => Some(true),
        Err(error) => (error.applied == Applied::No).then_some(false),
    }
}

/// Puts one value after the other under a key.
async fn write(client: Client, key: String, name: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    for number in 0..WRITES {
        let value = format!("{name}.{number}");
        let answer = client.put(put(&key, &value), &OPTIONS).await;
        writes.push((value, told(&answer)));
    }
    writes
}

/// Counts up, from what is there, if nobody else has.
async fn count(client: Client, key: String, name: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    for number in 0..WRITES {
        let read = RangeRequest {
            key: key.clone().into(),
            ..RangeRequest::default()
        };
        let kvs = client.get(read, &OPTIONS).await.unwrap().kvs;
        let (counted, modified) = kvs.first().map_or((0, 0), |kv| {
            let text = text(&kv.value);
            (
                text.split(' ').next().unwrap().parse::<usize>().unwrap(),
                kv.mod_revision,
            )
        });
        let value = format!("{} {name}.{number}", counted + 1);
        let unchanged = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.clone().into(),
            target_union: Some(TargetUnion::ModRevision(modified)),
            ..Compare::default()
        };
        let txn = TxnRequest {
            compare: vec![unchanged],
            success: vec![RequestOp {
                request: Some(Request::RequestPut(put(&key, &value))),
            }],
            ..TxnRequest::default()
        };
        let answer = client.txn(txn, &OPTIONS).await;
        let written = match &answer {
            Ok(answer) => Some(answer.succeeded),
            Err(_) => told(&answer),
        };
        writes.push((value, written));
    }
    writes
}

/// Every value that was ever put under the keys with this prefix, by key, up to the key `end`.
async fn history(client: &Client, prefix: &str) -> HashMap<String, Vec<String>> {
    let end = format!("{prefix}end");
    let (key, range_end) = range::prefix(prefix.to_owned().into());
    let last = client
        .put(put(&end, ""), &OPTIONS)
        .await
        .unwrap()
        .header
        .unwrap()
        .revision;
    let request = WatchCreateRequest {
        key,
        range_end,
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    let watcher = client.watch(request, &OPTIONS).await.unwrap();
    let mut history: HashMap<String, Vec<String>> = HashMap::new();
    loop {
        for event in watcher.read().await.unwrap().events {
            assert_eq!(event.r#type(), EventType::Put);
            let kv = event.kv.unwrap();
            if kv.mod_revision == last {
                return history;
            }
            history.entry(text(&kv.key)).or_default().push(text(&kv.value));
        }
    }
}

#[tokio::test]
async fn c2_no_write_happens_twice_however_many_answers_are_lost() {
    let etcd = etcd();
    let swallowing = listen(ports(1).await, move |_, client| swallow(client, etcd));
    let prefix = format!("once/{}/", fastrand::u64(..));
    let counter = format!("{prefix}counter");
    let mut puts = JoinSet::new();
    let mut counts = JoinSet::new();
    for name in 0..WRITERS {
        let key = format!("{prefix}{name}");
        puts.spawn(write(client(&swallowing, OPTIONS), key, name));
        counts.spawn(count(client(&swallowing, OPTIONS), counter.clone(), name));
    }
    let puts = puts.join_all().await.concat();
    let counts = counts.join_all().await.concat();
    let history = history(&client(&[etcd], OPTIONS), &prefix).await;

    let happened: Vec<_> = history.values().flatten().collect();
    let mut unknown = [0, 0];
    for (value, written) in puts.iter().chain(&counts) {
        let times = happened.iter().filter(|other| **other == value).count();
        match written {
            Some(written) => assert_eq!(times, usize::from(*written), "{value}"),
            None => {
                assert!(times <= 1, "{value} was written {times} times");
                unknown[times] += 1;
            }
        }
    }
    assert!(happened.len() <= puts.len() + counts.len());
    assert!(unknown[1] > 0, "no answer to a write was lost");
    // The last count is the number of those that counted.
    let counted = &history[&counter];
    for (value, number) in counted.iter().zip(1..) {
        assert!(value.starts_with(&format!("{number} ")), "{value} is number {number}");
    }
}

/// How many attempts have succeeded, and of how many nobody can tell.
#[derive(Default)]
struct Tally {
    done: usize,
    unknown: usize,
}

impl Tally {
    fn count<T>(&mut self, result: Result<T, silly_etcd::etcd::Error>) {
        match result {
            Ok(_) => self.done += 1,
            Err(error) if error.applied == Applied::Maybe => self.unknown += 1,
            Err(_) => {}
        }
    }
}

/// What has happened `value` times is all that has succeeded, and nothing that has failed; some could not be told.
fn assert_tallied(tallies: &[Tally], value: usize) {
    let done: usize = tallies.iter().map(|tally| tally.done).sum();
    let unknown: usize = tallies.iter().map(|tally| tally.unknown).sum();
    assert!((done..=done + unknown).contains(&value), "{done} + {unknown}: {value}");
    assert!(done > 0 && unknown > 0, "{done} + {unknown}");
}

#[tokio::test]
async fn c2_a_counter_misses_no_increment_that_succeeded() {
    let etcd = etcd();
    let swallowing = listen(ports(1).await, move |_, client| swallow(client, etcd));
    let key = Bytes::from(format!("once/{}/counter", fastrand::u64(..)));
    let mut counting = JoinSet::new();
    for _ in 0..50 {
        let (client, key) = (client(&swallowing, OPTIONS), key.clone());
        counting.spawn(async move {
            let mut tally = Tally::default();
            for _ in 0..20 {
                let increment = Increment {
                    key: key.clone(),
                    by: 1,
                    initial: 0,
                    lease: None,
                };
                tally.count(client.increment(increment, &OPTIONS).await);
            }
            tally
        });
    }
    let tallies = counting.join_all().await;
    let request = RangeRequest {
        key,
        ..RangeRequest::default()
    };
    let kvs = client(&[etcd], OPTIONS).get(request, &OPTIONS).await.unwrap().kvs;
    assert_tallied(&tallies, text(&kvs[0].value).parse().unwrap());
}

/// Adds one to two keys, as a transaction of code does. Fails where the commit has.
async fn add(client: &Client, keys: &[Bytes; 2]) -> Result<(), silly_etcd::etcd::Error> {
    let mut transaction = Transaction::new(Isolation::Snapshot);
    loop {
        for key in keys {
            let request = RangeRequest {
                key: key.clone(),
                ..RangeRequest::default()
            };
            while !client.stm_read(&mut transaction, &request, &OPTIONS).await? {}
            let seen = transaction.seen(&request).unwrap();
            let number = seen.first().map_or(0, |kv| text(&kv.value).parse::<i64>().unwrap());
            transaction.put(PutRequest {
                key: key.clone(),
                value: (number + 1).to_string().into(),
                ..PutRequest::default()
            });
        }
        match client.stm_commit(&mut transaction, &OPTIONS).await? {
            Committed::Yes(_) => return Ok(()),
            Committed::Again => transaction.restart(),
        }
    }
}

#[tokio::test]
async fn c2_a_transaction_of_code_happens_once_or_not_at_all() {
    let etcd = etcd();
    let swallowing = listen(ports(1).await, move |_, client| swallow(client, etcd));
    let prefix = format!("once/{}/", fastrand::u64(..));
    let keys = ["a", "b"].map(|name| Bytes::from(format!("{prefix}{name}")));
    let mut adding = JoinSet::new();
    for _ in 0..WRITERS {
        let (client, keys) = (client(&swallowing, OPTIONS), keys.clone());
        adding.spawn(async move {
            let mut tally = Tally::default();
            for _ in 0..WRITES / 5 {
                tally.count(add(&client, &keys).await);
            }
            tally
        });
    }
    let tallies = adding.join_all().await;
    let history = history(&client(&[etcd], OPTIONS), &prefix).await;
    let [a, b] = keys.map(|key| history[&text(&key)].clone());
    // Each commit has written both, from what it has read.
    let numbers: Vec<_> = (1..=a.len()).map(|number| number.to_string()).collect();
    assert_eq!((&a, &b), (&numbers, &numbers));
    assert_tallied(&tallies, a.len());
}

/// A write under a session, and what it was told: whether it happened.
async fn decided(client: Client, marker: String, key: String, name: usize) -> Vec<(String, Option<bool>, bool)> {
    let request = SessionRequest {
        lease: SessionLease::New(60),
        marker: Some(marker.into()),
    };
    let session = client.session(request, &OPTIONS).await.unwrap();
    let client = client.once(&session).unwrap();
    let options = CallOptions {
        // Half of them give up early, and are decided all the same.
        retry: if name.is_multiple_of(2) { 20 } else { 0 },
        ..OPTIONS
    };
    let mut writes = Vec::new();
    for number in 0..WRITES {
        let value = format!("{name}.{number}");
        let answer = client.put(put(&key, &value), &options).await;
        let is_late = matches!(&answer, Err(error) if error.applied == Applied::Yes);
        let told = match answer {
            Ok(_) => Some(true),
            Err(error) => match error.applied {
                Applied::Yes => Some(true),
                Applied::No => Some(false),
                Applied::Maybe => None,
            },
        };
        writes.push((value, told, is_late));
    }
    session.keep();
    writes
}

#[tokio::test]
async fn c2_a_write_of_a_session_is_always_told_by_its_outcome() {
    let etcd = etcd();
    let swallowing = listen(ports(1).await, move |_, client| swallow(client, etcd));
    let prefix = format!("once/{}/", fastrand::u64(..));
    let mut writing = JoinSet::new();
    for name in 0..WRITERS {
        let (key, marker) = (format!("{prefix}{name}"), format!("marker/{prefix}"));
        writing.spawn(decided(client(&swallowing, OPTIONS), marker, key, name));
    }
    let writes = writing.join_all().await.concat();
    let history = history(&client(&[etcd], OPTIONS), &prefix).await;
    let happened: Vec<_> = history.values().flatten().collect();
    let mut said = [0, 0];
    for (value, told, _) in &writes {
        let told = told.unwrap_or_else(|| panic!("{value} is not decided"));
        let times = happened.iter().filter(|other| **other == value).count();
        assert_eq!(times, usize::from(told), "{value}");
        said[usize::from(told)] += 1;
    }
    assert!(said[1] > 0, "{said:?}");
    assert_eq!(happened.len(), said[1]);
}

/// Passes everything on, but keeps what the client sends while it is told to.
async fn hold(mut client: TcpStream, etcd: SocketAddr, mut held: watch::Receiver<bool>) {
    let etcd = TcpStream::connect(etcd).await.unwrap();
    let (mut answers, mut to_etcd) = etcd.into_split();
    let (mut requests, mut to_client) = client.split();
    let up = async {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = requests.read(&mut bytes).await {
            if held.wait_for(|held| !*held).await.is_err() || to_etcd.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(up, async {
        let _ = copy(&mut answers, &mut to_client).await;
    });
}

#[tokio::test]
async fn c2_what_was_told_not_to_have_happened_never_does_though_it_comes_late() {
    let etcd = etcd();
    let (hold_it, held) = watch::channel(false);
    let slow = listen(ports(1).await, move |_, client| hold(client, etcd, held.clone()));
    let patient = CallOptions {
        timeout: Duration::from_millis(300),
        retry: 0,
        ..ONCE
    };
    let prefix = format!("once/{}/", fastrand::u64(..));
    let mut denied = 0;
    // Each begins with either server.
    for round in 0..16 {
        // What is asked when the first does not respond goes to the other.
        let first = client(&[slow[0], etcd], patient.clone());
        let request = SessionRequest {
            lease: SessionLease::New(60),
            marker: Some(format!("marker/{prefix}").into()),
        };
        let session = first.session(request, &patient).await.unwrap();
        let once = first.once(&session).unwrap();
        let key = format!("{prefix}{round}");
        once.put(put(&key, "before"), &patient).await.unwrap();
        hold_it.send_replace(true);
        let decided = once.put(put(&key, "late"), &patient).await;
        hold_it.send_replace(false);
        // All that was held has gone on.
        client(&slow, OPTIONS)
            .put(put(&format!("{key}/after"), ""), &OPTIONS)
            .await
            .unwrap();
        let read = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let kvs = client(&[etcd], OPTIONS).get(read, &OPTIONS).await.unwrap().kvs;
        match decided {
            Ok(_) => assert_eq!(kvs[0].value, "late"),
            Err(error) => {
                assert_eq!(
                    (error.applied, &*kvs[0].value),
                    (Applied::No, &b"before"[..]),
                    "{error}"
                );
                denied += 1;
            }
        }
        session.keep();
    }
    assert!(denied > 0);
}
