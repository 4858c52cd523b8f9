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
    /// The field that a request must have, where there is exactly one: it may stand in the request's place.
    const ALONE: Option<&'static str> = None;
    /// What goes down.
    type Request: Send + 'static;
    /// What comes up.
    type Response: Send + 'static;

    /// Reads the request. Fields that it does not ask for are errors.
    fn decode(fields: &mut Fields<'_>) -> Result<Self::Request, Invalid>;

    /// May it change something on the server?
    fn writes(request: &Self::Request) -> bool;

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
    /// What the caller gets instead if there is no memory for the values.
    fn unwritten(&self) -> Unwritten;

    /// The values that the caller gets.
    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue>;
}

/// What is known of an answer that could not be made into tables.
#[derive(Clone, Copy)]
pub(super) struct Unwritten {
    /// The name of its call.
    pub(super) call: &'static str,
    /// May that have changed something?
    pub(super) applied: Applied,
}

impl Answer for Unwritten {
    fn unwritten(&self) -> Unwritten {
        *self
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        self.write(lua, &LuaError::runtime("not enough memory"))
    }
}

impl Unwritten {
    pub(super) fn write(self, lua: &Lua, error: &LuaError) -> LuaResult<LuaMultiValue> {
        failure::unwritable(lua, self.call, self.applied, error)
    }
}

/// Decodes a request of call `C` and submits it. `more` is what else it was called with, which should be nothing.
pub(super) fn submit<C: Call>(
    lua: &Lua,
    client: &Client,
    request: LuaValue,
    more: &LuaValue,
) -> LuaResult<LuaMultiValue> {
    let decoded = Fields::new(lua, C::NAME, C::ALONE, request).and_then(|mut fields| {
        let request = C::decode(&mut fields)?;
        let options = fields.options(client.options())?;
        fields.check()?;
        match more {
            LuaNil => Ok((request, options)),
            more => Err(fields.second(more)),
        }
    });
    let (request, options) = match decoded {
        Ok(decoded) => decoded,
        Err(invalid) => return failure::invalid(lua, &invalid),
    };
    let writes = C::writes(&request);
    // Boxed before it is moved about: it holds a whole call.
    let running = Box::pin(C::run(client.clone(), request, options));
    run(lua, C::NAME, async move {
        let result = running.await;
        Done::<C> { result, writes }
    })
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

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.result {
            Ok(response) => C::encode(lua, response)?.into_lua_multi(lua),
            Err(error) => failure::push(lua, C::NAME, &error),
        }
    }
}

/// The outcome of an operation that panicked.
struct Panicked;

impl Answer for Panicked {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: "panic",
            applied: Applied::Maybe,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        let Unwritten { call, applied } = self.unwritten();
        let error = etcd::Error {
            applied,
            ..etcd::Error::new(Code::Internal, "a bug in this library")
        };
        failure::push(lua, call, &error)
    }
}
