//! The native half of a client object: a handle on the Rust client, with the calls as methods.

use mlua::prelude::*;

use super::call::{Call, submit};
use super::{kv, lease, txn, watch};
use crate::etcd::Client;

pub(super) struct NativeClient(Client);

impl NativeClient {
    pub(super) fn new(client: Client) -> Self {
        Self(client)
    }
}

/// A client that Lua has forgotten is closed, though operations of it may be under way.
impl Drop for NativeClient {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl LuaUserData for NativeClient {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        add::<kv::Put, M>(methods);
        add::<kv::Get, M>(methods);
        add::<kv::Delete, M>(methods);
        add::<kv::Compact, M>(methods);
        add::<txn::Txn, M>(methods);
        add::<lease::Grant, M>(methods);
        add::<lease::Revoke, M>(methods);
        add::<lease::Ttl, M>(methods);
        add::<lease::Leases, M>(methods);
        add::<lease::Keepalive, M>(methods);
        add::<watch::Watch, M>(methods);

        methods.add_method("close", |_, client, ()| {
            client.0.close();
            Ok(())
        });
        methods.add_method("closed", |_, client, ()| Ok(client.0.is_closed()));
        methods.add_method("endpoints", |_, client, ()| Ok(client.0.to_string()));
    }
}

/// `client:<name>(request) -> id | nil, message, info`
fn add<C: Call, M: LuaUserDataMethods<NativeClient>>(methods: &mut M) {
    methods.add_method(C::NAME, |lua, client, request: LuaValue| {
        submit::<C>(lua, &client.0, request)
    });
}
