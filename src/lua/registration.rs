//! `client:register(req)`: the native halves of a registration, and of what follows its status.
//!
//! In: an entry by its name, address and metadata, which Go's resolvers read, or by its key and value. Out: the object's
//! fields; later operations that update it or wait for its end.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use mlua::prelude::*;
use serde_json::{Value as Json, json};

use super::call::Call;
use super::failure::{self, Invalid};
use super::fields::{Decode, Fields};
use super::messages::{Header, TTL, ttl};
use super::operation::{Answer, Gone, Outcome, Unwritten, run};
use super::read::Reader;
use super::table::{Encode, Table, build};
use crate::bridge::Owned;
use crate::etcd::pb::ResponseHeader;
use crate::etcd::{
    self, Applied, CallOptions, Client, RegisterRequest, Registration, RegistrationStatus, Statuses, random,
};

/// What stands at the start of messages.
const UPDATE: &str = "registration.update";
const CLOSE: &str = "registration.close";

/// An entry as Go's `naming/endpoints` has it.
struct Endpoint {
    addr: String,
    metadata: Json,
}

impl Endpoint {
    fn value(&self) -> Bytes {
        let Self { addr, metadata } = self;
        json!({ "Op": 0, "Addr": addr, "Metadata": metadata })
            .to_string()
            .into()
    }

    /// That of a value that [`value`](Self::value) has made.
    fn of(value: &[u8]) -> Self {
        let mut json: Json = serde_json::from_slice(value).unwrap_or_default();
        Self {
            addr: json["Addr"].as_str().unwrap_or_default().to_owned(),
            metadata: json["Metadata"].take(),
        }
    }
}

/// What `client:register` takes.
pub(super) struct Register {
    request: RegisterRequest,
    entry: Entry,
}

/// How an entry was named.
pub(super) struct Entry {
    key: Bytes,
    /// Behind the name.
    id: Option<Bytes>,
    /// Has its value an address and metadata, or is it the program's own?
    is_endpoint: bool,
}

impl Decode for Register {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let (entry, value) = match fields.has("key")? {
            true => raw(fields)?,
            false => named(fields)?,
        };
        let ttl = ttl(fields)?.unwrap_or(TTL);
        let request = RegisterRequest {
            key: entry.key.clone(),
            value,
            ttl,
            replace: fields.flag("replace")?,
            wait: fields.wait()?,
        };
        Ok(Self { request, entry })
    }
}

fn raw(fields: &mut Fields<'_>) -> Result<(Entry, Bytes), Invalid> {
    for name in ["name", "addr", "metadata", "id"] {
        if fields.has(name)? {
            return Err(fields.field("key", &format!("contradicts '{name}'")));
        }
        fields.value(name)?;
        fields.spare(name);
    }
    let key = fields.nonempty_bytes("key")?.unwrap_or_else(|| fields.missing("key"));
    let entry = Entry {
        key,
        id: None,
        is_endpoint: false,
    };
    Ok((entry, fields.bytes("value")?))
}

fn named(fields: &mut Fields<'_>) -> Result<(Entry, Bytes), Invalid> {
    let name = fields.nonempty_bytes("name")?;
    let addr = fields.optional_text("addr")?;
    let metadata = fields.json("metadata")?;
    let id = fields.nonempty_bytes("id")?;
    fields.value("key")?;
    if fields.has("value")? {
        return Err(fields.field(
            "value",
            "belongs to a 'key': the value of a name has its 'addr' and 'metadata'",
        ));
    }
    fields.value("value")?;
    let id = match id {
        Some(id) => id,
        None => {
            let drawn = random::unique("an id").map_err(|error| fields.error(&error.message))?;
            format!("{drawn:016x}").into()
        }
    };
    let endpoint = Endpoint {
        addr: addr.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
    };
    let value = endpoint.value();
    let entry = Entry {
        key: [&*name.unwrap_or_default(), b"/", &*id].concat().into(),
        id: Some(id),
        is_endpoint: true,
    };
    Ok((entry, value))
}

/// `client:register(req)`
impl Call for Register {
    const NAME: &'static str = "register";
    const REQUIRED: &'static [&'static str] = &["name", "addr"];
    const SHARED: Option<&'static str> = Some("a registration goes wherever a server responds");
    type Request = Self;
    type Response = (Registration, Entry);

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Self::Response> {
        let Self { request, entry } = request;
        Ok((client.register(request, options).await?, entry))
    }

    fn encode(lua: &Lua, (registration, entry): Self::Response) -> LuaResult<LuaValue> {
        let made = Made {
            header: registration.header(),
            key: &entry.key,
            id: entry.id.as_deref(),
            lease: registration.status().lease,
        };
        let object = build(lua, &made)?;
        if let Some(object) = object.as_table() {
            let statuses = Reader::new(Self::NAME, registration.statuses(), Statuses::close);
            object.raw_set("statuses", statuses)?;
            object.raw_set("native", NativeRegistration::new(registration, entry.is_endpoint))?;
        }
        Ok(object)
    }
}

/// The fields of the object.
struct Made<'a> {
    header: Option<ResponseHeader>,
    key: &'a [u8],
    id: Option<&'a [u8]>,
    lease: i64,
}

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Made<'_> {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.bytes(c"key", self.key);
        if let Some(id) = self.id {
            table.bytes(c"id", id);
        }
        table.id(c"lease", self.lease);
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for RegistrationStatus {
    fn encode(&self, table: &mut Table) {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        table.flag(c"registered", self.registered);
        table.flag(c"taken", self.taken);
        table.number(c"since", since.as_secs_f64());
        table.integer(c"losses", self.losses.cast_signed());
        table.id(c"lease", self.lease);
        if let Some(message) = &self.message {
            table.text(c"message", message);
        }
    }
}

/// The native half of a registration.
#[derive(Default)]
pub(super) struct NativeRegistration {
    /// None in one that is made for its type alone.
    open: Option<Owned<Arc<Registration>>>,
    /// Has its value an address and metadata?
    is_endpoint: bool,
}

impl NativeRegistration {
    fn new(registration: Registration, is_endpoint: bool) -> Self {
        Self {
            open: Some(Owned::new(Arc::new(registration))),
            is_endpoint,
        }
    }

    fn registration(&self) -> Option<&Arc<Registration>> {
        self.open.as_ref()?.get()
    }

    fn update(&self, lua: &Lua, request: LuaValue) -> LuaResult<LuaMultiValue> {
        let Some(registration) = self.registration() else {
            return failure::forked(lua, UPDATE);
        };
        let (value, wait) = match self.changed(lua, request, &registration.value()) {
            Ok(changed) => changed,
            Err(invalid) => return failure::invalid(lua, &invalid),
        };
        let registration = registration.clone();
        let updated = async move { Box::new(Updated(registration.update(value, wait).await)) as Outcome };
        run(lua, UPDATE, updated.boxed())
    }

    /// The value that the entry is to have, and how long to wait for it.
    fn changed(&self, lua: &Lua, request: LuaValue, now: &[u8]) -> Result<(Bytes, Duration), Invalid> {
        let mut fields = Fields::new(lua, UPDATE, &[], request)?;
        let value = match self.is_endpoint {
            false => fields.bytes("value")?,
            true => {
                let mut endpoint = Endpoint::of(now);
                let (addr, metadata) = (fields.optional_text("addr")?, fields.json("metadata")?);
                if let (None, None) = (&addr, &metadata) {
                    return Err(fields.none_of(&["addr", "metadata"]));
                }
                endpoint.addr = addr.unwrap_or(endpoint.addr);
                endpoint.metadata = metadata.unwrap_or(endpoint.metadata);
                endpoint.value()
            }
        };
        let wait = fields.wait()?;
        fields.check()?;
        Ok((value, wait))
    }
}

/// The response to an update.
struct Updated(etcd::Result<Option<ResponseHeader>>);

impl Answer for Updated {
    fn unwritten(&self) -> Unwritten {
        Unwritten {
            call: UPDATE,
            applied: Applied::Maybe,
        }
    }

    fn encode(self: Box<Self>, lua: &Lua) -> LuaResult<LuaMultiValue> {
        match self.0 {
            Ok(header) => build(lua, &Header(header))?.into_lua_multi(lua),
            Err(error) => failure::push(lua, UPDATE, &error),
        }
    }
}

impl LuaUserData for NativeRegistration {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // registration.update(request) -> id | nil, message, info
        methods.add_method(UPDATE, |lua, registration, request: LuaValue| {
            registration.update(lua, request)
        });

        // held() -> is the entry there for certain?
        methods.add_method("held", |_, native, ()| {
            Ok(native.registration().is_some_and(|registration| registration.is_held()))
        });

        // status() -> table | nil, message, info
        methods.add_method("status", |lua, native, ()| match native.registration() {
            Some(registration) => build(lua, &registration.status())?.into_lua_multi(lua),
            None => failure::forked(lua, "registration.status"),
        });

        methods.add_method("close", |_, native, ()| {
            if let Some(registration) = native.registration() {
                registration.close();
            }
            Ok(())
        });

        // registration.close() -> id of an operation that ends when the entry is gone | nil, message, info
        methods.add_method(CLOSE, |lua, native, ()| {
            let Some(registration) = native.registration() else {
                return failure::forked(lua, CLOSE);
            };
            let registration = registration.clone();
            let gone = async move {
                registration.gone().await;
                let (call, result) = (CLOSE, Ok(()));
                Box::new(Gone { call, result }) as Outcome
            };
            run(lua, CLOSE, gone.boxed())
        });
    }
}
