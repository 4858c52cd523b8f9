//! `client:swap(req)` and `client:increment(req)`: keys that are changed only where nobody else has changed them.

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::table::{Encode, Table, build};
use crate::etcd::{self, CallOptions, Change, Client, Increment, Incremented, Swap, Swapped};

/// Their names.
pub(super) const CALLS: [&str; 2] = [Swap::NAME, Increment::NAME];

impl Call for Swap {
    const NAME: &'static str = "swap";
    const REQUIRED: &'static [&'static str] = &["key", "mod_revision"];
    const ONCE: bool = true;
    type Request = Self;
    type Response = Swapped;

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Swapped> {
        client.swap(request, &options).await
    }

    fn encode(lua: &Lua, response: Swapped) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

impl Decode for Swap {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let key = fields.bytes("key")?;
        let mod_revision = fields.natural("mod_revision")?;
        let value = fields.optional_bytes("value")?;
        let delete = fields.flag("delete")?;
        let lease = fields.optional_id("lease")?;
        let ignore_lease = fields.flag("ignore_lease")?;
        let change = match (value, delete) {
            (Some(_), true) => return Err(fields.field("delete", "excludes 'value'")),
            (None, false) => {
                fields.missing::<()>("value");
                Change::Delete
            }
            (None, true) if lease.is_some() => return Err(fields.field("lease", "is for a key that is put")),
            (None, true) if ignore_lease => return Err(fields.field("ignore_lease", "is for a key that is put")),
            (None, true) => Change::Delete,
            (Some(_), false) if ignore_lease && lease.is_some() => {
                return Err(fields.field("ignore_lease", "excludes 'lease'"));
            }
            (Some(value), false) => Change::Put {
                value,
                lease: lease.unwrap_or(0),
                ignore_lease,
            },
        };
        Ok(Self {
            key,
            mod_revision,
            change,
        })
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Swapped {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.flag(c"succeeded", self.succeeded);
        table.message(c"kv", self.kv.as_ref());
    }
}

impl Call for Increment {
    const NAME: &'static str = "increment";
    const REQUIRED: &'static [&'static str] = &["key"];
    const ONCE: bool = true;
    type Request = Self;
    type Response = Incremented;

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Incremented> {
        client.increment(request, &options).await
    }

    fn encode(lua: &Lua, response: Incremented) -> LuaResult<LuaValue> {
        build(lua, &response)
    }
}

impl Decode for Increment {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            key: fields.bytes("key")?,
            by: fields.optional_integer("by")?.unwrap_or(1),
            initial: fields.optional_integer("initial")?.unwrap_or(0),
            lease: fields.optional_id("lease")?,
        })
    }
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Incremented {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.integer(c"value", self.value);
        table.integer(c"tries", self.tries.into());
    }
}
