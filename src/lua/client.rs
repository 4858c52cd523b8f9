//! The native half of a client object: a handle on the Rust client, with the calls as methods.

use std::cell::Cell;
use std::rc::Rc;

use mlua::prelude::*;

use super::cache::Discover;
use super::call::{self, Call};
use super::election::{Leader, Observe};
use super::get::Get;
use super::lock::{Campaign, Lock};
use super::registration::Register;
use super::value::Value;
use super::{endpoints, failure, lease, maintenance, records, stats, stm, submit, txn, watch};
use crate::bridge::Owned;
use crate::etcd::{CacheRequest, Client, Code, Error, Increment, ScanRequest, SessionRequest, Swap, pb, rpcs};

#[derive(Default)]
pub(super) struct NativeClient {
    /// None in one that is made for its type alone.
    handle: Option<Rc<Owned<Handle>>>,
    /// Its servers when it was made, for what has no client any more.
    endpoints: String,
}

impl NativeClient {
    pub(super) fn new(client: Client) -> Self {
        Self::of(client, true)
    }

    fn of(client: Client, is_whole: bool) -> Self {
        let endpoints = client.to_string();
        let handle = Handle {
            client,
            is_whole,
            is_left: Cell::new(false),
        };
        Self {
            handle: Some(Rc::new(Owned::new(handle))),
            endpoints,
        }
    }

    fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()?.get()
    }

    /// In a forked child the parent's client is as good as closed.
    pub(super) fn client(&self) -> Option<&Client> {
        self.handle().map(|handle| &handle.client)
    }

    fn is_closed(&self) -> bool {
        self.handle().and_then(Handle::open).is_none_or(Client::is_closed)
    }

    fn close(&self) {
        match self.handle() {
            Some(handle) if handle.is_whole => handle.client.close(),
            Some(handle) => handle.is_left.set(true),
            None => {}
        }
    }

    /// The native half of a namespace.
    fn namespace(&self, lua: &Lua, prefix: LuaValue) -> LuaResult<LuaMultiValue> {
        let Some(client) = self.client() else {
            return failure::forked(lua, NAMESPACE);
        };
        let error = match Value::new(lua, prefix).bytes("prefix") {
            _ if self.is_closed() => Error::new(Code::Closed, CLOSED),
            Ok(prefix) if prefix.is_empty() => Error::new(Code::InvalidArgument, "the prefix must not be empty"),
            Ok(prefix) => return Self::of(client.namespace(&prefix), false).into_lua_multi(lua),
            Err(error) => error,
        };
        failure::push(lua, NAMESPACE, &error)
    }
}

const NAMESPACE: &str = "namespace";

/// What calls of a namespace return that was closed.
const CLOSED: &str = "the namespace is closed";

/// A client that Lua has forgotten is closed, though operations of it may be under way; a namespace of it is not.
pub(super) struct Handle {
    client: Client,
    is_whole: bool,
    /// Of a namespace, that it was closed: its client lives on.
    is_left: Cell<bool>,
}

impl Handle {
    /// The client, unless it is that of a namespace which was closed.
    pub(super) fn open(&self) -> Option<&Client> {
        (!self.is_left.get()).then_some(&self.client)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_whole {
            self.client.close();
        }
    }
}

impl LuaUserData for NativeClient {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        macro_rules! register {
            ($($service:ident of $handle:ident, $prefix:literal {
                $($(#[$doc:meta])* $name:ident $required:tt { $request:ident $($row:tt)* })*
            })*) => {
                $($(add(methods, <pb::$request as Call>::NAME, call::submit::<pb::$request>);)*)*
            };
        }
        rpcs!(register);
        // In the place of the row's, since it takes more.
        add(methods, Get::NAME, call::submit::<Get>);
        add(methods, txn::Txn::NAME, call::submit::<txn::Txn>);
        add(methods, lease::Grant::NAME, call::submit::<lease::Grant>);
        add(methods, lease::Keepalive::NAME, call::submit::<lease::Keepalive>);
        add(methods, watch::Watch::NAME, call::submit::<watch::Watch>);
        add(methods, ScanRequest::NAME, call::submit::<ScanRequest>);
        add(methods, CacheRequest::NAME, call::submit::<CacheRequest>);
        add(methods, Discover::NAME, call::submit::<Discover>);
        add(methods, Register::NAME, call::submit::<Register>);
        add(methods, SessionRequest::NAME, call::submit::<SessionRequest>);
        add(methods, Lock::NAME, call::submit::<Lock>);
        add(methods, Campaign::NAME, call::submit::<Campaign>);
        add(methods, Leader::NAME, call::submit::<Leader>);
        add(methods, Observe::NAME, call::submit::<Observe>);
        add(methods, stm::STM, stm::begin);
        add(methods, Swap::NAME, call::submit::<Swap>);
        add(methods, Increment::NAME, call::submit::<Increment>);
        add(
            methods,
            endpoints::CheckHealth::NAME,
            call::submit::<endpoints::CheckHealth>,
        );
        add(methods, endpoints::SET, endpoints::set);
        add(methods, endpoints::Sync::NAME, call::submit::<endpoints::Sync>);
        add(methods, maintenance::Disarm::NAME, call::submit::<maintenance::Disarm>);
        add(
            methods,
            maintenance::Defragment::NAME,
            call::submit::<maintenance::Defragment>,
        );
        add(
            methods,
            maintenance::Compare::NAME,
            call::submit::<maintenance::Compare>,
        );
        add(
            methods,
            maintenance::TakeSnapshot::NAME,
            call::submit::<maintenance::TakeSnapshot>,
        );

        // submitter(waiters, mt) -> a function that submits simple calls, see `submit`; their places are those of `simple()`
        methods.add_method("submitter", |lua, native, (waiters, mt): (LuaTable, LuaTable)| {
            let handle = native.handle.as_ref();
            handle
                .map(|handle| submit::function(lua, handle, waiters, mt))
                .transpose()
        });

        // stats() -> what it counts | nil, message, info
        methods.add_method("stats", |lua, native, ()| match native.client() {
            Some(client) => stats::table(lua, client)?.into_lua_multi(lua),
            None => failure::forked(lua, "stats"),
        });

        // endpoints() -> what is known of each server | nil, message, info
        methods.add_method("endpoints", |lua, native, ()| match native.client() {
            Some(client) => endpoints::list(lua, client),
            None => failure::forked(lua, "endpoints"),
        });

        // records() -> a reader of what happens to it from now on | nil, message, info
        methods.add_method(records::NAME, |lua, native, ()| match native.client() {
            Some(client) => records::reader(lua, client),
            None => failure::forked(lua, records::NAME),
        });

        // namespace(prefix) -> client | nil, message, info
        methods.add_method(NAMESPACE, |lua, client, prefix: LuaValue| client.namespace(lua, prefix));

        methods.add_method("close", |_, client, ()| {
            client.close();
            Ok(())
        });
        methods.add_method("closed", |_, client, ()| Ok(client.is_closed()));
        // renews() -> is some lease renewed in the background?
        methods.add_method("renews", |_, client, ()| {
            Ok(client
                .client()
                .is_some_and(|client| !client.is_closed() && client.renews()))
        });
        // describe() -> its servers, as a text
        methods.add_method("describe", |_, native, ()| {
            let now = native.client().map(ToString::to_string);
            Ok(now.unwrap_or_else(|| native.endpoints.clone()))
        });
    }
}

/// Decodes a request of a call and submits it.
type Submit = fn(&Lua, &Client, LuaValue, &LuaValue) -> LuaResult<LuaMultiValue>;

/// `client:<name>(request) -> id | nil, message, info`. One piece of code for all calls, which differ in `submit` alone.
fn add<M: LuaUserDataMethods<NativeClient>>(methods: &mut M, name: &'static str, submit: Submit) {
    methods.add_method(
        name,
        move |lua, native, (request, more): (LuaValue, LuaValue)| match native.handle() {
            Some(handle) => match handle.open() {
                Some(client) => submit(lua, client, request, &more),
                None => failure::push(lua, name, &Error::new(Code::Closed, CLOSED)),
            },
            None => failure::forked(lua, name),
        },
    );
}
