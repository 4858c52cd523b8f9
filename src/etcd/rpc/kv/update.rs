//! Keys that are changed only where nobody else has changed them: `swap` is one transaction, `increment` a read and a
//! transaction until they meet.

use bytes::Bytes;
use std::time::Duration;

use crate::etcd::client::Client;
use crate::etcd::config::CallOptions;
use crate::etcd::error::{Code, Error, Result};
use crate::etcd::pb::compare::TargetUnion;
use crate::etcd::pb::request_op::Request as Op;
use crate::etcd::pb::{DeleteRangeRequest, KeyValue, PutRequest, ResponseHeader, TxnRequest};
use crate::etcd::random;
use crate::etcd::range::KeyRange;
use crate::etcd::txn::equal;

/// How often a number is tried that others change too.
const TRIES: u32 = 100;

/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A key that is changed if it is still as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The key.
    pub key: Bytes,
    /// The revision of its last change; 0 if it must not exist.
    pub mod_revision: i64,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets another value.
    Put {
        /// The value.
        value: Bytes,
        /// The lease that it lives under; 0 for none.
        lease: i64,
        /// It keeps the lease that it has.
        ignore_lease: bool,
    },
    /// It is deleted.
    Delete,
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Swapped {
    /// The response's.
    pub header: Option<ResponseHeader>,
    /// Was it as it was?
    pub succeeded: bool,
    /// If not: what is there instead, if anything.
    pub kv: Option<KeyValue>,
}

/// A number that is stored in decimal digits, and what is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// The key.
    pub key: Bytes,
    /// What is added.
    pub by: i64,
    /// What it is added to where there is no such key.
    pub initial: i64,
    /// The lease that the key lives under from then on; else it keeps the one that it has.
    pub lease: Option<i64>,
}

/// The number afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incremented {
    /// The response's.
    pub header: Option<ResponseHeader>,
    /// The number.
    pub value: i64,
    /// How often it was tried.
    pub tries: u32,
}

impl Client {
    /// Changes a key if it is still as it was, else returns what is there. At most once, like every write.
    pub async fn swap(&self, swap: Swap, options: &CallOptions) -> Result<Swapped> {
        let txn = self.txn(transaction(swap), options).await?;
        Ok(Swapped {
            header: txn.header,
            succeeded: txn.succeeded,
            kv: txn.found(),
        })
    }

    /// Adds to a number. At most once: where a response was lost, whether it was is unknown.
    pub async fn increment(&self, increment: Increment, options: &CallOptions) -> Result<Incremented> {
        let Increment {
            key,
            by,
            initial,
            lease,
        } = increment;
        let request = KeyRange::of_key(key.clone()).request();
        let mut found = self.get(request, options).await?.kvs.into_iter().next();
        let mut tries = 1;
        loop {
            let before = found.as_ref().map_or(Ok(initial), number)?;
            let value = before
                .checked_add(by)
                .ok_or_else(|| Error::new(Code::OutOfRange, format!("{before} + {by} is beyond 64 bits")))?;
            let swap = Swap {
                key: key.clone(),
                mod_revision: found.as_ref().map_or(0, |kv| kv.mod_revision),
                change: Change::Put {
                    value: value.to_string().into(),
                    lease: lease.unwrap_or(0),
                    ignore_lease: lease.is_none() && found.is_some(),
                },
            };
            let swapped = self.swap(swap, options).await?;
            if swapped.succeeded {
                return Ok(Incremented {
                    header: swapped.header,
                    value,
                    tries,
                });
            }
            found = swapped.kv;
            let text = format!("others have changed the key before each of {tries} tries");
            let error = Error::new(Code::Aborted, text);
            if tries == TRIES {
                return Err(error);
            }
            let pause = PAUSE.mul_f64(random::fraction());
            self.servers().pause(pause, options, error).await?;
            tries += 1;
        }
    }
}

/// The number in a value.
fn number(kv: &KeyValue) -> Result<i64> {
    let text = std::str::from_utf8(&kv.value).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = "the key's value is no decimal integer of 64 bits";
        Error::new(Code::FailedPrecondition, text)
    })
}

fn transaction(
    Swap {
        key,
        mod_revision,
        change,
    }: Swap,
) -> TxnRequest {
    let get = Op::RequestRange(KeyRange::of_key(key.clone()).request());
    let compare = equal(key.clone(), TargetUnion::ModRevision(mod_revision));
    let change = match change {
        Change::Put {
            value,
            lease,
            ignore_lease,
        } => Op::RequestPut(PutRequest {
            key,
            value,
            lease,
            ignore_lease,
            ..PutRequest::default()
        }),
        Change::Delete => Op::RequestDeleteRange(DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        }),
    };
    TxnRequest {
        compare: vec![compare],
        success: vec![change.into()],
        failure: vec![get.into()],
    }
}
