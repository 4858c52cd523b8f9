//! The KV service: put, get, delete, compact. `txn` has a file of its own and uses what each of them decodes and
//! encodes.

use bytes::Bytes;
use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::Fields;
use super::table::{Table, build};
use crate::etcd::pb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader,
};
use crate::etcd::{CallOptions, Client, Result, range};

/// `client:put(req)`
pub(super) struct Put;

impl Call for Put {
    const NAME: &'static str = "put";
    type Request = PutRequest;
    type Response = PutResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<PutRequest, Invalid> {
        let key = fields.bytes("key")?;
        let value = fields.optional_bytes("value")?;
        let ignore_value = fields.flag("ignore_value")?;
        Ok(PutRequest {
            key,
            value: match value {
                None if !ignore_value => fields.missing("value"),
                value => value.unwrap_or_default(),
            },
            lease: fields.optional_id("lease")?.unwrap_or(0),
            prev_kv: fields.flag("prev_kv")?,
            ignore_value,
            ignore_lease: fields.flag("ignore_lease")?,
        })
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, request: PutRequest, options: CallOptions) -> Result<PutResponse> {
        client.put(request, &options).await
    }

    fn encode(lua: &Lua, response: PutResponse) -> LuaResult<LuaValue> {
        build(lua, |t| put_response(t, &response))
    }
}

pub(super) fn put_response(t: &mut Table, response: &PutResponse) {
    header(t, response.header.as_ref());
    t.optional(c"prev_kv", response.prev_kv.as_ref(), key_value);
}

/// `client:get(req)`
pub(super) struct Get;

impl Call for Get {
    const NAME: &'static str = "get";
    const ALONE: Option<&'static str> = Some("key");
    type Request = RangeRequest;
    type Response = RangeResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<RangeRequest, Invalid> {
        let (key, range_end) = key_range(fields)?;
        Ok(RangeRequest {
            key,
            range_end,
            limit: fields.natural("limit")?,
            revision: fields.natural("revision")?,
            sort_order: fields.choice("sort_order", &["NONE", "ASCEND", "DESCEND"])?,
            sort_target: fields.choice("sort_target", &["KEY", "VERSION", "CREATE", "MOD", "VALUE"])?,
            serializable: fields.flag("serializable")?,
            keys_only: fields.flag("keys_only")?,
            count_only: fields.flag("count_only")?,
            min_mod_revision: fields.natural("min_mod_revision")?,
            max_mod_revision: fields.natural("max_mod_revision")?,
            min_create_revision: fields.natural("min_create_revision")?,
            max_create_revision: fields.natural("max_create_revision")?,
        })
    }

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(client: Client, request: RangeRequest, options: CallOptions) -> Result<RangeResponse> {
        client.get(request, &options).await
    }

    fn encode(lua: &Lua, response: RangeResponse) -> LuaResult<LuaValue> {
        build(lua, |t| get_response(t, &response))
    }
}

pub(super) fn get_response(t: &mut Table, response: &RangeResponse) {
    header(t, response.header.as_ref());
    t.list(c"kvs", &response.kvs, key_value);
    t.flag(c"more", response.more);
    t.integer(c"count", response.count);
}

/// `client:delete(req)`
pub(super) struct Delete;

impl Call for Delete {
    const NAME: &'static str = "delete";
    const ALONE: Option<&'static str> = Some("key");
    type Request = DeleteRangeRequest;
    type Response = DeleteRangeResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<DeleteRangeRequest, Invalid> {
        let (key, range_end) = key_range(fields)?;
        Ok(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: fields.flag("prev_kv")?,
        })
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, request: DeleteRangeRequest, options: CallOptions) -> Result<DeleteRangeResponse> {
        client.delete(request, &options).await
    }

    fn encode(lua: &Lua, response: DeleteRangeResponse) -> LuaResult<LuaValue> {
        build(lua, |t| delete_response(t, &response))
    }
}

pub(super) fn delete_response(t: &mut Table, response: &DeleteRangeResponse) {
    header(t, response.header.as_ref());
    t.integer(c"deleted", response.deleted);
    t.list(c"prev_kvs", &response.prev_kvs, key_value);
}

/// `client:compact(req)`
pub(super) struct Compact;

impl Call for Compact {
    const NAME: &'static str = "compact";
    const ALONE: Option<&'static str> = Some("revision");
    type Request = CompactionRequest;
    type Response = CompactionResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<CompactionRequest, Invalid> {
        Ok(CompactionRequest {
            revision: fields.required_natural("revision")?,
            physical: fields.flag("physical")?,
        })
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, request: CompactionRequest, options: CallOptions) -> Result<CompactionResponse> {
        client.compact(request, &options).await
    }

    fn encode(lua: &Lua, response: CompactionResponse) -> LuaResult<LuaValue> {
        build(lua, |t| header(t, response.header.as_ref()))
    }
}

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

pub(super) fn header(t: &mut Table, header: Option<&ResponseHeader>) {
    t.optional(c"header", header, |t, header| {
        t.push_table(|t| {
            t.unsigned(c"cluster_id", header.cluster_id);
            t.unsigned(c"member_id", header.member_id);
            t.integer(c"revision", header.revision);
            t.unsigned(c"raft_term", header.raft_term);
        });
    });
}

pub(super) fn key_value(t: &mut Table, kv: &KeyValue) {
    t.push_table(|t| {
        t.bytes(c"key", &kv.key);
        t.integer(c"create_revision", kv.create_revision);
        t.integer(c"mod_revision", kv.mod_revision);
        t.integer(c"version", kv.version);
        t.bytes(c"value", &kv.value);
        t.id(c"lease", kv.lease);
    });
}
