//! The native half of a client object: a handle on the Rust client, with the calls as methods.

use mlua::prelude::*;

use super::cache::Discover;
use super::call::{Call, submit};
use super::registration::Register;
use super::{failure, lease, maintenance, txn, watch};
use crate::bridge::Owned;
use crate::etcd::{CacheRequest, Client, Increment, ScanRequest, Swap, pb, rpcs};

#[derive(Default)]
pub(super) struct NativeClient {
    /// None in one that is made for its type alone.
    handle: Option<Owned<Handle>>,
    endpoints: String,
}

impl NativeClient {
    pub(super) fn new(client: Client) -> Self {
        let endpoints = client.to_string();
        Self {
            handle: Some(Owned::new(Handle(client))),
            endpoints,
        }
    }

    /// In a forked child the parent's client is as good as closed.
    fn client(&self) -> Option<&Client> {
        self.handle.as_ref()?.get().map(|handle| &handle.0)
    }
}

/// A client that Lua has forgotten is closed, though operations of it may be under way.
struct Handle(Client);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl LuaUserData for NativeClient {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        macro_rules! register {
            ($($service:ident of $handle:ident, $prefix:literal {
                $($(#[$doc:meta])* $name:ident $required:tt { $request:ident $($row:tt)* })*
            })*) => {
                $($(add(methods, <pb::$request as Call>::NAME, submit::<pb::$request>);)*)*
            };
        }
        rpcs!(register);
        add(methods, txn::Txn::NAME, submit::<txn::Txn>);
        add(methods, lease::Grant::NAME, submit::<lease::Grant>);
        add(methods, lease::Keepalive::NAME, submit::<lease::Keepalive>);
        add(methods, watch::Watch::NAME, submit::<watch::Watch>);
        add(methods, ScanRequest::NAME, submit::<ScanRequest>);
        add(methods, CacheRequest::NAME, submit::<CacheRequest>);
        add(methods, Discover::NAME, submit::<Discover>);
        add(methods, Register::NAME, submit::<Register>);
        add(methods, Swap::NAME, submit::<Swap>);
        add(methods, Increment::NAME, submit::<Increment>);
        add(methods, maintenance::Disarm::NAME, submit::<maintenance::Disarm>);
        add(
            methods,
            maintenance::Defragment::NAME,
            submit::<maintenance::Defragment>,
        );
        add(methods, maintenance::Compare::NAME, submit::<maintenance::Compare>);
        add(
            methods,
            maintenance::TakeSnapshot::NAME,
            submit::<maintenance::TakeSnapshot>,
        );

        methods.add_method("close", |_, client, ()| {
            if let Some(client) = client.client() {
                client.close();
            }
            Ok(())
        });
        methods.add_method("closed", |_, client, ()| {
            Ok(client.client().is_none_or(Client::is_closed))
        });
        // renews() -> is some lease renewed in the background?
        methods.add_method("renews", |_, client, ()| {
            Ok(client
                .client()
                .is_some_and(|client| !client.is_closed() && client.renews()))
        });
        methods.add_method("endpoints", |_, client, ()| Ok(client.endpoints.clone()));
    }
}

/// Decodes a request of a call and submits it.
type Submit = fn(&Lua, &Client, LuaValue, &LuaValue) -> LuaResult<LuaMultiValue>;

/// `client:<name>(request) -> id | nil, message, info`. One piece of code for all calls, which differ in `submit` alone.
fn add<M: LuaUserDataMethods<NativeClient>>(methods: &mut M, name: &'static str, submit: Submit) {
    methods.add_method(
        name,
        move |lua, client, (request, more): (LuaValue, LuaValue)| match client.client() {
            Some(client) => submit(lua, client, request, &more),
            None => failure::forked(lua, name),
        },
    );
}
