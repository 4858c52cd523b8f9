//! The one shape of every call: decode, run, encode.
//!
//! In: a request table. Out: at once the id of an operation, or `nil, message, info` if the request is no good; later,
//! under that id, the answer.

use mlua::prelude::*;

use super::core::bridge;
use super::failure::{self, Invalid};
use super::fields::Fields;
use crate::etcd::{self, Applied, CallOptions, Client, Code};

/// One call of the API.
pub(super) trait Call: Send + 'static {
    /// Its name in Lua, which stands at the start of its messages.
    const NAME: &'static str;
    /// What goes down.
    type Request: Send + 'static;
    /// What comes up.
    type Response: Send + 'static;

    /// Reads the request. Fields that it does not ask for are errors.
    fn decode(fields: &mut Fields<'_>) -> Result<Self::Request, Invalid>;

    /// Runs on the runtime.
    fn run(
        client: Client,
        request: Self::Request,
        options: CallOptions,
    ) -> impl Future<Output = etcd::Result<Self::Response>> + Send;

    /// Writes the answer.
    fn encode(lua: &Lua, response: Self::Response) -> LuaResult<LuaValue>;
}

/// The result of an operation on its way to the Lua thread. The bridge that carries it is app data of the lua_State.
pub(super) type Outcome = Box<dyn Answer>;

/// What an operation returns to Lua.
pub(super) trait Answer: Send {
    /// The values that the caller gets.
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue>;
}

/// Decodes a request of call `C` and submits it.
pub(super) fn submit<C: Call>(lua: &Lua, client: &Client, request: LuaValue) -> LuaResult<LuaMultiValue> {
    let decoded = Fields::new(lua, C::NAME, request).and_then(|mut fields| {
        let request = C::decode(&mut fields)?;
        let options = fields.options(client.options())?;
        fields.check()?;
        Ok((request, options))
    });
    let (request, options) = match decoded {
        Ok(decoded) => decoded,
        Err(invalid) => return failure::invalid(lua, &invalid),
    };
    // Boxed before it is moved about: it holds a whole call.
    let running = Box::pin(C::run(client.clone(), request, options));
    run(lua, C::NAME, async { Done::<C>(running.await) })
}

/// Submits an operation of the call `name`.
pub(super) fn run<A: Answer + 'static>(
    lua: &Lua,
    name: &'static str,
    operation: impl Future<Output = A> + Send + 'static,
) -> LuaResult<LuaMultiValue> {
    let operation = async { Box::new(operation.await) as Outcome };
    match bridge(lua)?.submit(operation, || Box::new(Panicked)) {
        Ok(id) => id.into_lua_multi(lua),
        Err(error) => failure::push(lua, name, &etcd::Error::new(Code::Unavailable, error.to_string())),
    }
}

/// The outcome of call `C`.
struct Done<C: Call>(etcd::Result<C::Response>);

impl<C: Call> Answer for Done<C> {
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.0 {
            Ok(response) => C::encode(lua, response)?.into_lua_multi(lua),
            Err(error) => failure::push(lua, C::NAME, &error),
        }
    }
}

/// The outcome of an operation that panicked.
struct Panicked;

impl Answer for Panicked {
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        let error = etcd::Error {
            applied: Applied::Maybe,
            ..etcd::Error::new(Code::Internal, "a bug in this library")
        };
        failure::push(lua, "panic", &error)
    }
}
