//! `client:scan(req)`: the native half of the object that it returns.

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::messages::key_range;
use super::read::Reader;
use super::table::{Encode, Table, build};
use crate::etcd::pb::{RangeRequest, ResponseHeader};
use crate::etcd::{self, CallOptions, Client, Scan, ScanRequest};

/// The most keys of a page, where nothing else is said.
const PAGE: i64 = 1000;

impl Decode for ScanRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (key, range_end) = key_range(fields)?;
        let range = RangeRequest {
            key,
            range_end,
            revision: fields.natural("revision")?,
            limit: fields.natural("limit")?,
            keys_only: fields.flag("keys_only")?,
            serializable: fields.flag("serializable")?,
            ..RangeRequest::default()
        };
        let page = fields.page(PAGE)?;
        Ok(Self { range, page })
    }
}

impl Call for ScanRequest {
    const NAME: &'static str = "scan";
    const REQUIRED: &'static [&'static str] = &["key"];
    const READS_KEYS: bool = true;
    type Request = Self;
    type Response = Scan;

    fn writes(_: &Self) -> bool {
        false
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Scan> {
        client.scan(request, &options).await
    }

    fn encode(lua: &Lua, scan: Scan) -> LuaResult<LuaValue> {
        let began = Began {
            header: scan.header,
            revision: scan.revision,
            count: scan.count,
        };
        let object = build(lua, &began)?;
        if let Some(object) = object.as_table() {
            object.raw_set("pages", Reader::new(Self::NAME, scan, Scan::close))?;
        }
        Ok(object)
    }
}

/// What is known once the first page is there.
struct Began {
    header: Option<ResponseHeader>,
    revision: i64,
    count: i64,
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Began {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.integer(c"revision", self.revision);
        table.integer(c"count", self.count);
    }
}
