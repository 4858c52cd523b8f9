//! The Lease service: grant, revoke, ttl, leases, keepalive.

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::Fields;
use super::kv::header;
use super::read::Reader;
use super::table::build;
use crate::etcd::pb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::etcd::{CallOptions, Client, Renewals, Result};

/// `client:grant(req)`
pub(super) struct Grant;

impl Call for Grant {
    const NAME: &'static str = "grant";
    const ALONE: Option<&'static str> = Some("TTL");
    /// And whether to renew it.
    type Request = (LeaseGrantRequest, bool);
    type Response = LeaseGrantResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<Self::Request, Invalid> {
        let ttl = fields.whole_seconds("TTL")?;
        let id = fields.optional_id("ID")?.unwrap_or(0);
        let renew = fields.optional_flag("keepalive")?.unwrap_or(true);
        Ok((LeaseGrantRequest { ttl, id }, renew))
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, (request, renew): Self::Request, options: CallOptions) -> Result<LeaseGrantResponse> {
        client.grant(request, renew, &options).await
    }

    fn encode(lua: &Lua, response: LeaseGrantResponse) -> LuaResult<LuaValue> {
        build(lua, |t| {
            header(t, response.header.as_ref());
            t.id(c"ID", response.id);
            t.integer(c"TTL", response.ttl);
            let error = Some(response.error.as_bytes()).filter(|error| !error.is_empty());
            t.optional(c"error", error, |t, error| t.push_bytes(error));
        })
    }
}

/// `client:revoke(req)`
pub(super) struct Revoke;

impl Call for Revoke {
    const NAME: &'static str = "revoke";
    const ALONE: Option<&'static str> = Some("ID");
    type Request = LeaseRevokeRequest;
    type Response = LeaseRevokeResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<LeaseRevokeRequest, Invalid> {
        Ok(LeaseRevokeRequest { id: fields.id("ID")? })
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, request: LeaseRevokeRequest, options: CallOptions) -> Result<LeaseRevokeResponse> {
        client.revoke(request, &options).await
    }

    fn encode(lua: &Lua, response: LeaseRevokeResponse) -> LuaResult<LuaValue> {
        build(lua, |t| header(t, response.header.as_ref()))
    }
}

/// `client:ttl(req)`
pub(super) struct Ttl;

impl Call for Ttl {
    const NAME: &'static str = "ttl";
    const ALONE: Option<&'static str> = Some("ID");
    type Request = LeaseTimeToLiveRequest;
    type Response = LeaseTimeToLiveResponse;

    fn decode(fields: &mut Fields<'_>) -> Result<LeaseTimeToLiveRequest, Invalid> {
        Ok(LeaseTimeToLiveRequest {
            id: fields.id("ID")?,
            keys: fields.flag("keys")?,
        })
    }

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(
        client: Client,
        request: LeaseTimeToLiveRequest,
        options: CallOptions,
    ) -> Result<LeaseTimeToLiveResponse> {
        client.ttl(request, &options).await
    }

    fn encode(lua: &Lua, response: LeaseTimeToLiveResponse) -> LuaResult<LuaValue> {
        build(lua, |t| {
            header(t, response.header.as_ref());
            t.id(c"ID", response.id);
            t.integer(c"TTL", response.ttl);
            t.integer(c"grantedTTL", response.granted_ttl);
            t.list(c"keys", &response.keys, |t, key| t.push_bytes(key));
        })
    }
}

/// `client:leases(req?)`
pub(super) struct Leases;

impl Call for Leases {
    const NAME: &'static str = "leases";
    type Request = ();
    type Response = LeaseLeasesResponse;

    fn decode(_: &mut Fields<'_>) -> Result<(), Invalid> {
        Ok(())
    }

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(client: Client, (): (), options: CallOptions) -> Result<LeaseLeasesResponse> {
        client.leases(&options).await
    }

    fn encode(lua: &Lua, response: LeaseLeasesResponse) -> LuaResult<LuaValue> {
        build(lua, |t| {
            header(t, response.header.as_ref());
            t.list(c"leases", &response.leases, |t, lease| {
                t.push_table(|t| t.id(c"ID", lease.id))
            });
        })
    }
}

/// One renewal of `client:keepalive(req)`; the object around it is Lua's.
pub(super) struct Keepalive;

impl Call for Keepalive {
    const NAME: &'static str = "keepalive";
    const ALONE: Option<&'static str> = Some("ID");
    /// And whether to renew it in the background from then on, or no longer.
    type Request = (LeaseKeepAliveRequest, Option<bool>);
    type Response = (LeaseKeepAliveResponse, Option<Renewals>);

    fn decode(fields: &mut Fields<'_>) -> Result<Self::Request, Invalid> {
        let id = fields.id("ID")?;
        let renew = fields.optional_flag("keepalive")?;
        // An id alone is the way to take a lease over.
        let renew = renew.or(fields.is_alone().then_some(true));
        Ok((LeaseKeepAliveRequest { id }, renew))
    }

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, (request, renew): Self::Request, options: CallOptions) -> Result<Self::Response> {
        client.keepalive(request, renew, &options).await
    }

    fn encode(lua: &Lua, (response, renewals): Self::Response) -> LuaResult<LuaValue> {
        let answer = renewal(lua, &response)?;
        if let (Some(answer), Some(renewals)) = (answer.as_table(), renewals) {
            answer.raw_set("renewals", Reader::new(Self::NAME, renewals, renewal, Renewals::close))?;
        }
        Ok(answer)
    }
}

fn renewal(lua: &Lua, response: &LeaseKeepAliveResponse) -> LuaResult<LuaValue> {
    build(lua, |t| {
        header(t, response.header.as_ref());
        t.id(c"ID", response.id);
        t.integer(c"TTL", response.ttl);
    })
}
