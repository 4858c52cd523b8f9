//! The one shape of every call: decode, run, encode.
//!
//! In: a request table. Out: at once the id of an operation, or `nil, message, info` if the request is wrong; later,
//! under that id, the response. The calls of the table in `src/etcd/rpc.rs` have that shape by rule.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mlua::prelude::*;

use super::failure::{self, Invalid};
use super::fields::{Decode, Fields};
use super::lock::session;
use super::operation::{Answer, Outcome, Plain, Unwritten, begin, run, run_while_wanted};
use super::options;
use super::table::{Push, Table, build};
use crate::etcd::{self, Applied, CallOptions, Client, Unary};

/// One call of the API.
pub(super) trait Call: Sized + Send + 'static {
    /// Its name in Lua, which stands at the start of its messages.
    const NAME: &'static str;
    /// The fields that a request must have. Where it is one, that may stand in the request's place.
    const REQUIRED: &'static [&'static str] = &[];
    /// Can it be called without a request?
    const BARE: bool = false;
    /// Why a request chooses no endpoint and no headers, where it may not.
    const SHARED: Option<&'static str> = None;
    /// Does it wait for what others do, and ends with its caller's wait?
    const WAITS: bool = false;
    /// May it ask to know whether it has happened, by the session of its field `once`?
    const ONCE: bool = false;
    /// Does it read keys, as a store must have had them that was at some revision?
    const READS_KEYS: bool = false;
    /// Pushes the response, where it is a value as [`Push`] has it and no more.
    const PUSH: Option<fn(&Self::Response, &mut Table)> = None;
    /// What goes down. Fields that its decoder does not ask for are errors.
    type Request: Decode + Send + 'static;
    /// What comes up.
    type Response: Send + 'static;

    /// The options of a request that does not say otherwise, from those of its client.
    fn defaults(options: CallOptions) -> CallOptions {
        options
    }

    /// Do the request and its options go together? Else the field that is too much, and why.
    fn check(_: &Self::Request, _: &CallOptions) -> Result<(), (&'static str, &'static str)> {
        Ok(())
    }

    /// May it change something on the server?
    fn writes(request: &Self::Request) -> bool;

    /// Runs on the runtime.
    fn run(
        client: Client,
        request: Self::Request,
        options: CallOptions,
    ) -> impl Future<Output = etcd::Result<Self::Response>> + Send;

    /// Writes the response; by hand where it is more than `PUSH` can push.
    fn encode(lua: &Lua, response: Self::Response) -> LuaResult<LuaValue> {
        const { assert!(Self::PUSH.is_some(), "a call needs one of the two") };
        build(lua, &Pushed::<Self>(&response))
    }
}

impl<R: Unary + Decode> Call for R {
    const NAME: &'static str = R::RPC.name;
    const REQUIRED: &'static [&'static str] = R::RPC.required;
    const BARE: bool = R::RPC.required.is_empty();
    const READS_KEYS: bool = R::RPC.reads_keys();
    const ONCE: bool = R::RPC.writes_keys();
    const PUSH: Option<fn(&R::Response, &mut Table)> = Some(|response, table| table.push_decoded(response, &[]));
    type Request = R;
    type Response = R::Response;

    fn writes(_: &R) -> bool {
        R::RPC.writes()
    }

    fn run(client: Client, request: R, options: CallOptions) -> impl Future<Output = etcd::Result<R::Response>> + Send {
        request.run(client, options)
    }
}

/// A request of call `C`, and what it says of how it is to be made.
pub(super) struct Decoded<C: Call> {
    pub(super) request: C::Request,
    pub(super) options: CallOptions,
    /// The client that is to make it: one of a session, where the request names that.
    pub(super) client: Client,
}

/// Decodes a request of call `C`. `more` is what else it was called with, which should be nothing.
pub(super) fn decode<C: Call>(
    lua: &Lua,
    client: &Client,
    request: LuaValue,
    more: &LuaValue,
) -> Result<Decoded<C>, Invalid> {
    let mut fields = match (request, more) {
        (LuaNil, LuaNil) if C::BARE => Ok(Fields::none(lua, C::NAME)),
        (request, LuaNil) => Fields::new(lua, C::NAME, C::REQUIRED, request),
        (_, more) => Err(Fields::second(lua, C::NAME, more)),
    }?;
    decode_fields::<C>(&mut fields, client)
}

fn decode_fields<C: Call>(fields: &mut Fields<'_>, client: &Client) -> Result<Decoded<C>, Invalid> {
    let request = C::Request::decode(fields)?;
    let options = options::request::<C>(fields, client)?;
    let once = if C::ONCE { session(fields, "once")? } else { None };
    fields.check()?;
    C::check(&request, &options).map_err(|(field, reason)| fields.field(field, reason))?;
    let once = once.map(|session| client.once(&session)).transpose();
    let once = once.map_err(|error| fields.field("once", &error.message))?;
    Ok(Decoded {
        request,
        options,
        client: once.unwrap_or_else(|| client.clone()),
    })
}

/// Decodes a request of call `C` and submits it.
pub(super) fn submit<C: Call>(
    lua: &Lua,
    client: &Client,
    request: LuaValue,
    more: &LuaValue,
) -> LuaResult<LuaMultiValue> {
    let running = match decode::<C>(lua, client, request, more) {
        Ok(decoded) => decoded.run(),
        Err(invalid) => return failure::invalid(lua, &invalid),
    };
    match C::WAITS {
        true => run_while_wanted(lua, C::NAME, running),
        false => run(lua, C::NAME, running),
    }
}

/// Decodes a request of call `C` that is in these fields, and submits it. Returns the id of the operation, if all is
/// well.
pub(super) fn submit_fields<C: Call>(mut fields: Fields<'_>, client: &Client) -> Option<u64> {
    let running = decode_fields::<C>(&mut fields, client).ok()?.run();
    begin(fields.lua(), running).ok()?.ok()
}

impl<C: Call> Decoded<C> {
    /// The operation. Boxed before it is moved about: it holds a whole call.
    fn run(self) -> BoxFuture<'static, Outcome> {
        let Self {
            request,
            options,
            client,
        } = self;
        let writes = C::writes(&request);
        let running = C::run(client, request, options);
        running
            .map(move |result| Box::new(Done::<C> { result, writes }) as Outcome)
            .boxed()
    }
}

/// The outcome of call `C`.
struct Done<C: Call> {
    result: etcd::Result<C::Response>,
    writes: bool,
}

impl<C: Call> Answer for Done<C> {
    fn unwritten(&self) -> Unwritten {
        let applied = match &self.result {
            Ok(_) if self.writes => Applied::Maybe,
            Ok(_) => Applied::No,
            Err(error) => error.applied,
        };
        Unwritten { call: C::NAME, applied }
    }

    fn plain(&self) -> Option<Plain<'_>> {
        (C::PUSH.is_some() && self.result.is_ok()).then_some(Plain::Message(self))
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.result {
            Ok(response) => C::encode(lua, response)?.into_lua_multi(lua),
            Err(error) => failure::push(lua, C::NAME, &error),
        }
    }
}

// SAFETY: `Pushed` is.
#[allow(unsafe_code)]
unsafe impl<C: Call> Push for Done<C> {
    fn push(&self, table: &mut Table) {
        if let Ok(response) = &self.result {
            Pushed::<C>(response).push(table);
        }
    }
}

/// The response of call `C`, for one that has `PUSH`.
struct Pushed<'a, C: Call>(&'a C::Response);

// SAFETY: `PUSH` promises it.
#[allow(unsafe_code)]
unsafe impl<C: Call> Push for Pushed<'_, C> {
    fn push(&self, table: &mut Table) {
        if let Some(push) = C::PUSH {
            push(self.0, table);
        }
    }
}
