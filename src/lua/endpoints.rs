//! The servers of a client: what is known of each, others in their place, and whether they serve.

use std::time::Duration;

use mlua::prelude::*;

use super::call::Call;
use super::config;
use super::failure::{self, Invalid};
use super::fields::Fields;
use super::table::{Encode, Table, build};
use super::value::{Field, Value};
use crate::etcd::{self, Address, CallOptions, Client, EndpointHealth, Health, ServerStatus};

/// How long `health` waits for a server at the most, where nothing else is said.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// What stands at the start of messages.
pub(super) const SET: &str = "setendpoints";

/// The calls that wait for servers.
pub(super) const CALLS: [&str; 2] = [Sync::NAME, CheckHealth::NAME];

const NAME: &str = "endpoints";
const REQUIRED: &[&str] = &[NAME];

/// `client:endpoints()`
pub(super) fn list(lua: &Lua, client: &Client) -> LuaResult<LuaMultiValue> {
    table(lua, &client.endpoints())?.into_lua_multi(lua)
}

fn table(lua: &Lua, statuses: &[ServerStatus]) -> LuaResult<LuaTable> {
    let statuses = statuses.iter().map(|status| build(lua, status));
    lua.create_sequence_from(statuses.collect::<LuaResult<Vec<_>>>()?)
}

/// `client:sync(req)`
pub(super) struct Sync;

impl Call for Sync {
    const NAME: &'static str = "sync";
    const BARE: bool = true;
    type Request = ();
    type Response = Vec<ServerStatus>;

    fn writes((): &()) -> bool {
        false
    }

    async fn run(client: Client, (): (), options: CallOptions) -> etcd::Result<Vec<ServerStatus>> {
        client.sync(&options).await?;
        Ok(client.endpoints())
    }

    fn encode(lua: &Lua, statuses: Vec<ServerStatus>) -> LuaResult<LuaValue> {
        table(lua, &statuses)?.into_lua(lua)
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for ServerStatus {
    fn encode(&self, table: &mut Table) {
        table.text(c"endpoint", &self.endpoint);
        table.flag(c"connected", self.connected);
        table.integer(c"failures", self.failures.into());
        if let Some(rtt) = self.rtt {
            table.number(c"rtt", rtt.as_secs_f64());
        }
        table.unsigned_id(c"member_id", self.member_id);
        if let Some(version) = &self.version {
            table.text(c"version", version);
        }
        table.flag(c"leader", self.leader);
        table.flag(c"current", self.current);
        table.text(c"source", self.source.name());
    }
}

/// `client:setendpoints(endpoints)`
pub(super) fn set(lua: &Lua, client: &Client, endpoints: LuaValue, more: &LuaValue) -> LuaResult<LuaMultiValue> {
    match decode(lua, client, endpoints, more) {
        Ok(addresses) => match client.set_endpoints(addresses) {
            Ok(()) => true.into_lua_multi(lua),
            Err(error) => failure::push(lua, SET, &error),
        },
        Err(invalid) => failure::invalid(lua, &invalid),
    }
}

/// The addresses in a list, or in the field `endpoints` of a table.
fn decode(lua: &Lua, client: &Client, endpoints: LuaValue, more: &LuaValue) -> Result<Vec<Address>, Invalid> {
    if !more.is_nil() {
        return Err(Fields::second(lua, SET, more));
    }
    let mut fields = match endpoints {
        LuaValue::Table(list) if list.raw_len() > 0 => {
            let list = Value::new(lua, LuaValue::Table(list));
            Fields::simple(lua, SET, REQUIRED, vec![Field::new(NAME, list)])
        }
        endpoints => Fields::new(lua, SET, REQUIRED, endpoints)?,
    };
    let (addresses, encrypted) = config::endpoints(lua, &mut fields)?;
    fields.check()?;
    let contradicts = |says: &Option<bool>| says.is_some_and(|says| says != client.is_encrypted());
    if let Some(at) = encrypted.iter().position(contradicts) {
        let problem = match client.is_encrypted() {
            true => "is not encrypted, and the client is",
            false => "is encrypted, and the client is not",
        };
        return Err(fields.field(&format!("{NAME}[{}]", at + 1), problem));
    }
    match addresses.is_empty() {
        true => Err(fields.field(NAME, "must list at least one server")),
        false => Ok(addresses),
    }
}

/// `client:health(req)`
pub(super) struct CheckHealth;

impl Call for CheckHealth {
    const NAME: &'static str = "health";
    const BARE: bool = true;
    type Request = ();
    type Response = Health;

    fn defaults(options: CallOptions) -> CallOptions {
        CallOptions {
            timeout: options.timeout.min(HEALTH_LIMIT),
            ..options
        }
    }

    fn writes((): &()) -> bool {
        false
    }

    async fn run(client: Client, (): (), options: CallOptions) -> etcd::Result<Health> {
        client.health(&options).await
    }

    fn encode(lua: &Lua, health: Health) -> LuaResult<LuaValue> {
        build(lua, &health)
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Health {
    fn encode(&self, table: &mut Table) {
        table.flag(c"healthy", self.healthy);
        table.messages(c"endpoints", &self.endpoints);
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for EndpointHealth {
    fn encode(&self, table: &mut Table) {
        table.text(c"endpoint", &self.endpoint);
        table.flag(c"healthy", self.healthy);
        table.number(c"seconds", self.took.as_secs_f64());
        if let Some(error) = &self.error {
            table.text(c"code", error.code.name());
            table.text(c"message", &error.message);
        }
        table.messages(c"alarms", &self.alarms);
    }
}
