//! `client:txn(req)`: compare, then one of two lists of operations.
//!
//! An operation stands under the name of its call, `{ put = {...} }`, and has that call's fields; its response stands
//! under the same name and looks like that call's response. A txn can be an operation of a txn.

use std::ffi::c_void;

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::messages::key_range;
use super::table::Table;
use super::value::Value;
use crate::etcd::pb::compare::{CompareTarget, TargetUnion};
use crate::etcd::pb::request_op::Request;
use crate::etcd::pb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse};
use crate::etcd::{CallOptions, Client, Result};

/// How deep txns may lie in each other. protobuf reads no response that is nested deeper than this needs.
const MAX_DEPTH: usize = 40;

/// No server takes that many operations and comparisons. It ends the reading of a request that refers to the same
/// tables over and over.
const MAX_OPERATIONS: usize = 1 << 16;

pub(super) struct Txn;

impl Call for Txn {
    const NAME: &'static str = "txn";
    const READS_KEYS: bool = true;
    const ONCE: bool = true;
    const PUSH: Option<fn(&TxnResponse, &mut Table)> = Some(|response, table| table.push_decoded(response, &[]));
    type Request = TxnRequest;
    type Response = TxnResponse;

    fn check(request: &TxnRequest, options: &CallOptions) -> std::result::Result<(), (&'static str, &'static str)> {
        match options.min_revision > 0 && (request.writes() || !request.reads()) {
            true => Err((
                "min_revision",
                "is for a transaction that gets something and changes nothing",
            )),
            false => Ok(()),
        }
    }

    fn writes(request: &TxnRequest) -> bool {
        request.writes()
    }

    async fn run(client: Client, request: TxnRequest, options: CallOptions) -> Result<TxnResponse> {
        client.txn(request, &options).await
    }
}

impl Decode for TxnRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Reader::default().txn(fields)
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
        Ok(match name {
            "put" => Request::RequestPut(fields.decoded(name, PutRequest::REQUIRED, value)?),
            "get" => Request::RequestRange(fields.decoded(name, RangeRequest::REQUIRED, value)?),
            "delete" => Request::RequestDeleteRange(fields.decoded(name, DeleteRangeRequest::REQUIRED, value)?),
            _ => {
                let mut fields = fields.nested(name, Txn::REQUIRED, value)?;
                let txn = self.txn(&mut fields)?;
                fields.check()?;
                Request::RequestTxn(txn)
            }
        })
    }
}

/// What of a key is compared, and the fields for what it is compared to.
const TARGETS: [&str; 5] = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const OPERANDS: [&str; 5] = ["version", "create_revision", "mod_revision", "value", "lease"];

/// How it is compared, in words and in signs.
const RESULTS: [&str; 8] = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL", "=", ">", "<", "!="];

/// The target of the only operand, where none is given.
fn implied(fields: &mut Fields<'_>) -> Result<Option<i32>, Invalid> {
    if fields.has("target")? {
        return Ok(None);
    }
    let mut found = None;
    for (target, operand) in (0..).zip(OPERANDS) {
        if fields.has(operand)? && found.replace(target).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

fn compare(fields: &mut Fields<'_>) -> Result<Compare, Invalid> {
    let (key, range_end) = key_range(fields)?;
    // A comparison with one operand needs no target, and is for equality unless it says otherwise.
    let implied = implied(fields)?;
    let (target, result) = match implied {
        Some(target) => {
            fields.value("target")?;
            (Some(target), Some(fields.choice("result", &RESULTS)?))
        }
        None => (
            fields.required_choice("target", &TARGETS)?,
            fields.required_choice("result", &RESULTS)?,
        ),
    };
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
        // Each has a second name.
        result: result.unwrap_or_default() % 4,
        target,
        key,
        range_end,
        target_union: Some(operand),
    })
}
