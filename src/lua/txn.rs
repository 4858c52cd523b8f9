//! `client:txn(req)`: compare, then one of two lists of operations.
//!
//! An operation stands under the name of its call, `{ put = {...} }`, and has that call's fields; its response stands
//! under the same name and looks like that call's answer. A txn can be an operation of a txn.

use std::ffi::c_void;

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::Fields;
use super::kv;
use super::table::{Table, build};
use super::value::Value;
use crate::etcd::pb::compare::{CompareTarget, TargetUnion};
use crate::etcd::pb::request_op::Request;
use crate::etcd::pb::response_op::Response;
use crate::etcd::pb::{Compare, RequestOp, ResponseOp, TxnRequest, TxnResponse};
use crate::etcd::{CallOptions, Client, Result};

/// How deep txns may lie in each other. protobuf reads no answer that is nested deeper than this needs.
const MAX_DEPTH: usize = 40;

/// No server takes that many operations and comparisons. It ends the reading of a request that refers to the same
/// tables over and over.
const MAX_OPERATIONS: usize = 1 << 16;

pub(super) struct Txn;

impl Call for Txn {
    const NAME: &'static str = "txn";
    type Request = TxnRequest;
    type Response = TxnResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<TxnRequest, Invalid> {
        Reader::default().txn(fields)
    }

    fn writes(request: &TxnRequest) -> bool {
        writes(request)
    }

    async fn run(client: Client, request: TxnRequest, options: CallOptions) -> Result<TxnResponse> {
        client.txn(request, &options).await
    }

    fn encode(lua: &Lua, response: TxnResponse) -> LuaResult<LuaValue> {
        build(lua, |t| txn_response(t, &response))
    }
}

/// Reads one request.
#[derive(Default)]
struct Reader {
    operations: usize,
    /// The tables around the one that is being read: one of them inside itself would have no end.
    around: Vec<*const c_void>,
}

impl Reader {
    fn txn(&mut self, fields: &mut Fields<'_>) -> Result<TxnRequest, Invalid> {
        let compares = fields.list("compare")?;
        self.operations += compares.len();
        if self.operations > MAX_OPERATIONS {
            return Err(fields.field("compare", "has too many comparisons"));
        }
        let compares = compares
            .into_iter()
            .enumerate()
            .map(|(i, value)| compare(&mut fields.item("compare", i + 1, value)?));
        let compare = compares.collect::<Result<_, Invalid>>()?;
        let success = self.operations(fields, "success")?;
        let failure = self.operations(fields, "failure")?;
        Ok(TxnRequest {
            compare,
            success,
            failure,
        })
    }

    fn operations(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Result<Vec<RequestOp>, Invalid> {
        let mut operations = Vec::new();
        for (i, value) in fields.list(name)?.into_iter().enumerate() {
            self.operations += 1;
            if self.operations > MAX_OPERATIONS {
                return Err(fields.field(name, "has too many operations"));
            }
            if self.around.len() > MAX_DEPTH {
                return Err(fields.field(name, "is nested too deep"));
            }
            let table = value.to_pointer();
            if self.around.contains(&table) {
                return Err(fields.field(name, "contains itself"));
            }
            self.around.push(table);
            let request = self.operation(&mut fields.item(name, i + 1, value)?)?;
            self.around.pop();
            operations.push(RequestOp { request: Some(request) });
        }
        Ok(operations)
    }

    fn operation(&mut self, fields: &mut Fields<'_>) -> Result<Request, Invalid> {
        const NAMES: [&str; 4] = ["put", "get", "delete", "txn"];
        let mut found = None;
        for name in NAMES {
            let value = fields.value(name)?;
            if !matches!(value, Value::Nil) && found.replace((name, value)).is_some() {
                return Err(fields.field(name, "is a second operation, one is allowed"));
            }
        }
        let Some((name, value)) = found else {
            return Err(fields.none_of(&NAMES));
        };
        fields.check()?;
        let alone = match name {
            "get" => kv::Get::ALONE,
            "delete" => kv::Delete::ALONE,
            _ => None,
        };
        let mut fields = fields.nested(name, alone, value)?;
        let request = match name {
            "put" => Request::RequestPut(kv::Put::decode(&mut fields)?),
            "get" => Request::RequestRange(kv::Get::decode(&mut fields)?),
            "delete" => Request::RequestDeleteRange(kv::Delete::decode(&mut fields)?),
            _ => Request::RequestTxn(self.txn(&mut fields)?),
        };
        fields.check()?;
        Ok(request)
    }
}

/// What of a key is compared, and the fields for what it is compared to.
const TARGETS: [&str; 5] = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const OPERANDS: [&str; 5] = ["version", "create_revision", "mod_revision", "value", "lease"];

fn compare(fields: &mut Fields<'_>) -> Result<Compare, Invalid> {
    let (key, range_end) = kv::key_range(fields)?;
    let target = fields.required_choice("target", &TARGETS)?;
    let result = fields.required_choice("result", &["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])?;
    let Some(target) = target else {
        for operand in OPERANDS {
            fields.value(operand)?;
        }
        return fields.check().map(|()| Compare::default());
    };
    let operand = match CompareTarget::try_from(target).unwrap_or_default() {
        CompareTarget::Version => TargetUnion::Version(fields.integer("version")?),
        CompareTarget::Create => TargetUnion::CreateRevision(fields.integer("create_revision")?),
        CompareTarget::Mod => TargetUnion::ModRevision(fields.integer("mod_revision")?),
        CompareTarget::Value => TargetUnion::Value(fields.bytes("value")?),
        CompareTarget::Lease => TargetUnion::Lease(fields.id("lease")?),
    };
    let at = target as usize;
    fields.check_by(|name| {
        let takes = || format!("the target '{}' takes '{}'", TARGETS[at], OPERANDS[at]);
        OPERANDS.contains(&name).then(takes)
    })?;
    Ok(Compare {
        result: result.unwrap_or_default(),
        target,
        key,
        range_end,
        target_union: Some(operand),
    })
}

/// Is there an operation in it that is no get?
fn writes(txn: &TxnRequest) -> bool {
    let writes = |operation: &RequestOp| match &operation.request {
        Some(Request::RequestRange(_)) => false,
        Some(Request::RequestTxn(txn)) => writes(txn),
        _ => true,
    };
    txn.success.iter().chain(&txn.failure).any(writes)
}

fn txn_response(t: &mut Table, response: &TxnResponse) {
    kv::header(t, response.header.as_ref());
    t.flag(c"succeeded", response.succeeded);
    t.list(c"responses", &response.responses, |t, response| {
        t.push_table(|t| operation_response(t, response))
    });
}

fn operation_response(t: &mut Table, operation: &ResponseOp) {
    match &operation.response {
        Some(Response::ResponsePut(response)) => t.table(c"put", |t| kv::put_response(t, response)),
        Some(Response::ResponseRange(response)) => t.table(c"get", |t| kv::get_response(t, response)),
        Some(Response::ResponseDeleteRange(response)) => t.table(c"delete", |t| kv::delete_response(t, response)),
        Some(Response::ResponseTxn(response)) => t.table(c"txn", |t| txn_response(t, response)),
        None => {}
    }
}
