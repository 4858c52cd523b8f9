//! `client:get(req)`: the row of the table, with a response that may be shorter. Who needs only the values asks for them
//! by their keys, or for the keys alone, and no table is made for each pair.
//!
//! In: the request of the row, and `values`. Out: the response as it came, written as it was asked for.

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::table::{Encode, Push, Table};
use crate::etcd::pb::{RangeRequest, RangeResponse, ResponseHeader};
use crate::etcd::wire::{self, Value};
use crate::etcd::{CallOptions, Client, Received, Result, Unary};

/// The numbers of the fields of a response, and of a pair.
const HEADER: u32 = 1;
const KVS: u32 = 2;
const MORE: u32 = 3;
const COUNT: u32 = 4;
const KEY: u32 = 1;
const VALUE: u32 = 5;

/// What a response has of the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A table for each.
    Pairs,
    /// The values by their keys.
    Values,
    /// The keys.
    Keys,
}

pub(super) struct Get;

impl Call for Get {
    const NAME: &'static str = RangeRequest::RPC.name;
    const REQUIRED: &'static [&'static str] = RangeRequest::RPC.required;
    const READS_KEYS: bool = RangeRequest::RPC.reads_keys();
    const PUSH: Option<fn(&Self::Response, &mut Table)> = Some(|(response, form), table| match form {
        Form::Pairs => response.push(table),
        form => Short::new(response, *form).push(table),
    });
    type Request = (RangeRequest, Form);
    type Response = (Received<RangeResponse>, Form);

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(client: Client, request: Self::Request, options: CallOptions) -> Result<Self::Response> {
        let (request, form) = request;
        Ok((client.get_received(request, &options).await?, form))
    }
}

impl Decode for (RangeRequest, Form) {
    fn decode(fields: &mut Fields<'_>) -> std::result::Result<Self, Invalid> {
        let request = RangeRequest::decode(fields)?;
        let form = match (fields.flag("values")?, request.keys_only) {
            (false, _) => Form::Pairs,
            (true, false) => Form::Values,
            (true, true) => Form::Keys,
        };
        Ok((request, form))
    }
}

/// A response without a table for each pair.
#[derive(Default)]
struct Short<'a> {
    header: Option<ResponseHeader>,
    more: bool,
    count: i64,
    /// Where the pairs are, and how many.
    response: &'a [u8],
    pairs: usize,
    keys_only: bool,
}

impl<'a> Short<'a> {
    fn new(response: &'a Received<RangeResponse>, form: Form) -> Self {
        let mut short = Self {
            response: response.bytes(),
            keys_only: form == Form::Keys,
            ..Self::default()
        };
        for (number, value) in wire::Fields::new(short.response) {
            match (number, value) {
                (HEADER, Value::Bytes(header)) => short.header = Some(wire::decode(header)),
                (KVS, _) => short.pairs += 1,
                (MORE, Value::Number(more)) => short.more = more != 0,
                (COUNT, Value::Number(count)) => short.count = count.cast_signed(),
                _ => {}
            }
        }
        short
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let pairs = wire::Fields::new(self.response);
        pairs.filter_map(|field| match field {
            (KVS, Value::Bytes(kv)) => Some(pair(kv)),
            _ => None,
        })
    }
}

/// The key and the value of a pair.
fn pair(kv: &[u8]) -> (&[u8], &[u8]) {
    let mut pair = (&[][..], &[][..]);
    for (number, value) in wire::Fields::new(kv) {
        match (number, value) {
            (KEY, Value::Bytes(key)) => pair.0 = key,
            (VALUE, Value::Bytes(value)) => pair.1 = value,
            _ => {}
        }
    }
    pair
}

// SAFETY: it owns nothing that needs to be dropped.
#[allow(unsafe_code)]
unsafe impl Encode for Short<'_> {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        match self.keys_only {
            true => table.strings(c"keys", self.pairs, self.pairs().map(|(key, _)| key)),
            false => table.entries(c"values", self.pairs, self.pairs()),
        }
        table.flag(c"more", self.more);
        table.integer(c"count", self.count);
    }
}
