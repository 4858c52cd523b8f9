//! Requests read from fields, and what servers send written as tables. What follows from the schema by rule is generated
//! by `codegen/codecs.rs`; here is what does not, and `txn` has a file of its own.

use bytes::Bytes;

use super::failure::Invalid;
use super::fields::{Decode, Fields};
use crate::etcd::pb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, WatchCreateRequest};
use crate::etcd::range;

/// What the schema says.
mod generated {
    #![allow(unsafe_code, reason = "each place says why it is sound")]
    #![allow(
        clippy::useless_conversion,
        reason = "numbers of 32 and of 64 bits are written alike"
    )]

    use super::super::failure::Invalid;
    use super::super::fields::{Decode, Fields};
    use super::super::table::{Encode, Table};
    use super::key_range;
    use crate::etcd::pb;

    include!(concat!(env!("OUT_DIR"), "/codecs.rs"));
}

/// The filters of a watch, by their numbers.
const FILTERS: [&str; 2] = ["NOPUT", "NODELETE"];

/// Reads `key` and what makes a range of it: `prefix`, `fromkey` or `range_end`, at most one of them.
pub(super) fn key_range(fields: &mut Fields<'_>) -> Result<(Bytes, Bytes), Invalid> {
    let key = fields.bytes("key")?;
    let prefix = fields.flag("prefix")?;
    let from_key = fields.flag("fromkey")?;
    let range_end = fields.optional_bytes("range_end")?;
    match (prefix, from_key, range_end) {
        (false, false, range_end) => Ok((key, range_end.unwrap_or_default())),
        (true, false, None) => Ok(range::prefix(key)),
        (false, true, None) => Ok(range::from_key(key)),
        (true, true, _) => Err(fields.field("fromkey", "excludes 'prefix'")),
        (_, _, Some(_)) => Err(fields.field("range_end", "excludes 'prefix' and 'fromkey'")),
    }
}

impl Decode for PutRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let key = fields.bytes("key")?;
        let value = fields.optional_bytes("value")?.unwrap_or_default();
        let ignore_value = fields.flag("ignore_value")?;
        if ignore_value {
            fields.spare("value");
        }
        Ok(Self {
            key,
            value,
            lease: fields.optional_id("lease")?.unwrap_or(0),
            prev_kv: fields.flag("prev_kv")?,
            ignore_value,
            ignore_lease: fields.flag("ignore_lease")?,
        })
    }
}

/// And whether to renew the lease.
impl Decode for (LeaseGrantRequest, bool) {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let ttl = fields.whole_seconds("TTL")?;
        let id = fields.optional_id("ID")?.unwrap_or(0);
        let renew = fields.optional_flag("keepalive")?.unwrap_or(true);
        Ok((LeaseGrantRequest { ttl, id }, renew))
    }
}

/// And whether to renew the lease in the background from then on, or no longer.
impl Decode for (LeaseKeepAliveRequest, Option<bool>) {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let id = fields.id("ID")?;
        let renew = fields.optional_flag("keepalive")?;
        // An id alone is the way to take a lease over.
        let renew = renew.or(fields.is_alone().then_some(true));
        Ok((LeaseKeepAliveRequest { id }, renew))
    }
}

impl Decode for WatchCreateRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (key, range_end) = key_range(fields)?;
        let revision = fields.natural("revision")?;
        let start_revision = fields.natural("start_revision")?;
        if revision != 0 && start_revision != 0 && revision != start_revision {
            return Err(fields.field("start_revision", "contradicts 'revision'"));
        }
        let mut filters = Vec::new();
        for filter in fields.list("filters")? {
            filters.push(fields.chosen("filters", filter, &FILTERS)?);
        }
        for (number, name) in (0..).zip(FILTERS) {
            if fields.flag(name)? {
                filters.push(number);
            }
        }
        Ok(Self {
            key,
            range_end,
            start_revision: revision.max(start_revision),
            progress_notify: fields.flag("progress_notify")?,
            filters,
            prev_kv: fields.flag("prev_kv")?,
            ..Self::default()
        })
    }
}
