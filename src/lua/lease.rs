//! The Lease service: grant and keepalive, which are more than a request and a response.

use mlua::prelude::*;

use super::call::Call;
use super::read::Reader;
use super::table::build;
use crate::etcd::pb::{LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use crate::etcd::{CallOptions, Client, Renewals, Result};

/// `client:grant(req)`
pub(super) struct Grant;

impl Call for Grant {
    const NAME: &'static str = "grant";
    const REQUIRED: &'static [&'static str] = &["TTL"];
    type Request = (LeaseGrantRequest, bool);
    type Response = LeaseGrantResponse;

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, (request, renew): Self::Request, options: CallOptions) -> Result<LeaseGrantResponse> {
        client.grant(request, renew, &options).await
    }

    fn encode(lua: &Lua, response: LeaseGrantResponse) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

/// One renewal of `client:keepalive(req)`; the object around it is Lua's.
pub(super) struct Keepalive;

impl Call for Keepalive {
    const NAME: &'static str = "keepalive";
    const REQUIRED: &'static [&'static str] = &["ID"];
    type Request = (LeaseKeepAliveRequest, Option<bool>);
    type Response = (LeaseKeepAliveResponse, Option<Renewals>);

    fn writes(_: &Self::Request) -> bool {
        true
    }

    async fn run(client: Client, (request, renew): Self::Request, options: CallOptions) -> Result<Self::Response> {
        client.keepalive(request, renew, &options).await
    }

    fn encode(lua: &Lua, (response, renewals): Self::Response) -> LuaResult<LuaValue> {
        let response = build(lua, &response)?;
        if let (Some(response), Some(renewals)) = (response.as_table(), renewals) {
            response.raw_set("renewals", Reader::new(Self::NAME, renewals, Renewals::close))?;
        }
        Ok(response)
    }
}
