//! `client:session(req)`, `client:lock(req)`, `client:campaign(req)`: the native halves of what is held until it is
//! lost.
//!
//! In: a name, and a session or a TTL. Out: the object's fields; later calls that are done only while it is held,
//! operations that give it up, and a reader of its end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use mlua::prelude::*;

use super::call::{Call, submit};
use super::failure::{self, Invalid};
use super::fields::{Decode, Fields};
use super::messages::{Header, TTL, name, ttl};
use super::operation::{Gone, Outcome, run};
use super::read::Reader;
use super::table::{Encode, Table, build};
use super::value::Value;
use crate::bridge::Owned;
use crate::etcd::pb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use crate::etcd::{
    self, CallOptions, Client, Code, ContendRequest, Contender, Loss, Losses, Mode, Resume, Session, SessionLease,
    SessionRequest, Under,
};

const MODES: [&str; 2] = ["read", "write"];

/// Why a request chooses no endpoint and no headers.
const SHARED: &str = "a lease is renewed wherever a server responds";

impl Decode for SessionRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let lease = match (ttl(fields)?, fields.optional_id("ID")?) {
            (Some(_), Some(_)) => return Err(fields.field("TTL", "contradicts 'ID': that lease has one")),
            (None, Some(0)) => return Err(fields.field("ID", "must not be 0")),
            (None, Some(id)) => SessionLease::Existing(id),
            (ttl, None) => SessionLease::New(ttl.unwrap_or(TTL)),
        };
        let marker = fields.nonempty_bytes("marker")?;
        Ok(Self { lease, marker })
    }
}

impl Call for SessionRequest {
    const NAME: &'static str = "session";
    const BARE: bool = true;
    const SHARED: Option<&'static str> = Some(SHARED);
    type Request = Self;
    type Response = Session;

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(client: Client, request: Self, options: CallOptions) -> etcd::Result<Session> {
        client.session(request, &options).await
    }

    fn encode(lua: &Lua, session: Session) -> LuaResult<LuaValue> {
        let losses = Reader::new(Self::NAME, session.losses(), Losses::close);
        let object = build(lua, &session)?;
        if let Some(object) = object.as_table() {
            object.raw_set("losses", losses)?;
            object.raw_set("native", NativeSession::new(session))?;
        }
        Ok(object)
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Session {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.id(c"ID", self.id);
        table.integer(c"TTL", self.ttl);
    }
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Loss {
    fn encode(&self, table: &mut Table) {
        table.text(c"code", self.0.code.name());
        table.text(c"message", &self.0.message);
    }
}

/// The native half of a session.
#[derive(Default)]
pub(super) struct NativeSession {
    /// None in one that is made for its type alone.
    open: Option<Owned<Arc<Session>>>,
}

impl NativeSession {
    fn new(session: Session) -> Self {
        let open = Some(Owned::new(Arc::new(session)));
        Self { open }
    }

    fn session(&self) -> Option<&Arc<Session>> {
        self.open.as_ref()?.get()
    }
}

const REVOKE: &str = "session.revoke";
const ORPHAN: &str = "session.orphan";

impl LuaUserData for NativeSession {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // keep(): the program has it now, and may forget it
        methods.add_method("keep", |_, native, ()| {
            if let Some(session) = native.session() {
                session.keep();
            }
            Ok(())
        });

        methods.add_method("held", |_, native, ()| {
            Ok(native.session().is_some_and(|session| session.is_held()))
        });

        methods.add_method("close", |_, native, ()| {
            if let Some(session) = native.session() {
                // One that never came to the program is none of its own.
                session.discard();
                if session.is_kept() {
                    session.close();
                }
            }
            Ok(())
        });

        // orphan() -> the lease | nil, message, info
        methods.add_method("orphan", |lua, native, ()| {
            let Some(session) = native.session() else {
                return failure::forked(lua, ORPHAN);
            };
            match session.orphan() {
                Ok(()) => build(lua, &Id(session.id))?.into_lua_multi(lua),
                Err(error) => failure::push(lua, ORPHAN, &error),
            }
        });

        // session.revoke() -> id of an operation that ends when the lease is gone | nil, message, info
        methods.add_method(REVOKE, |lua, native, ()| {
            let Some(session) = native.session().cloned() else {
                return failure::forked(lua, REVOKE);
            };
            session.close();
            let gone = async move {
                session.gone().await;
                let (call, result) = (REVOKE, Ok(()));
                Box::new(Gone { call, result }) as Outcome
            };
            run(lua, REVOKE, gone.boxed())
        });
    }
}

/// The id of a lease.
struct Id(i64);

// SAFETY: it owns nothing.
#[allow(unsafe_code)]
unsafe impl Encode for Id {
    fn encode(&self, table: &mut Table) {
        table.id(c"ID", self.0);
    }
}

/// The session in a field of a request, if it names one.
pub(super) fn session(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Arc<Session>>, Invalid> {
    let native = match fields.value(name)? {
        Value::Nil => return Ok(None),
        Value::Other(LuaValue::Table(object)) => object.raw_get::<LuaAnyUserData>("native").ok(),
        _ => None,
    };
    let native = native.as_ref().and_then(|native| native.borrow::<NativeSession>().ok());
    match native {
        Some(native) => match native.session() {
            Some(session) => Ok(Some(session.clone())),
            None => Err(fields.field(name, "was made before the process forked")),
        },
        None => Err(fields.field(name, "must be what client:session has returned")),
    }
}

/// What a lock and a candidacy have in common.
fn contend(fields: &mut Fields<'_>) -> Result<ContendRequest, Invalid> {
    let name = name(fields)?;
    let value = fields.optional_bytes("value")?.unwrap_or_default();
    let under = match (session(fields, "session")?, ttl(fields)?) {
        (Some(_), Some(_)) => return Err(fields.field("TTL", "contradicts 'session', which has one")),
        (Some(session), None) => Under::Session(session),
        (None, ttl) => Under::Own(ttl.unwrap_or(TTL)),
    };
    Ok(ContendRequest {
        name,
        value,
        mode: Mode::Exclusive,
        under,
        resume: resume(fields)?,
        wait: fields.patience("wait")?,
    })
}

/// A place that was taken before.
fn resume(fields: &mut Fields<'_>) -> Result<Option<Resume>, Invalid> {
    let value = match fields.value("resume")? {
        Value::Nil => return Ok(None),
        value => value,
    };
    let mut fields = fields.nested("resume", &["key", "revision", "lease"], value)?;
    let resume = Resume {
        key: fields.bytes("key")?,
        revision: fields.natural("revision")?,
        lease: fields.id("lease")?,
    };
    fields.check()?;
    Ok(Some(resume))
}

/// Calls that wait in a queue until it is their turn.
macro_rules! contends {
    ($($(#[$doc:meta])* $call:ident $name:literal $decode:ident)*) => {$(
        $(#[$doc])*
        pub(super) struct $call(ContendRequest);

        impl Decode for $call {
            fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
                $decode(fields).map(Self)
            }
        }

        impl Call for $call {
            const NAME: &'static str = $name;
            const REQUIRED: &'static [&'static str] = &["name"];
            const WAITS: bool = true;
            const SHARED: Option<&'static str> = Some(SHARED);
            type Request = Self;
            type Response = Contender;

            fn writes(_: &Self) -> bool {
                true
            }

            async fn run(client: Client, Self(request): Self, options: CallOptions) -> etcd::Result<Contender> {
                client.contend(request, options).await
            }

            fn encode(lua: &Lua, contender: Contender) -> LuaResult<LuaValue> {
                held(lua, $name, contender)
            }
        }
    )*};
}

contends! {
    /// `client:lock(req)`
    Lock "lock" with_mode
    /// `client:campaign(req)`
    Campaign "campaign" contend
}

/// That of a lock, which may let others in.
fn with_mode(fields: &mut Fields<'_>) -> Result<ContendRequest, Invalid> {
    let mut request = contend(fields)?;
    let is_given = fields.has("mode")?;
    let mode = fields.choice("mode", &MODES)?;
    if is_given {
        request.mode = [Mode::Read, Mode::Write][mode as usize];
        if request.resume.is_some() {
            return Err(fields.field("resume", "is for a lock without a mode"));
        }
    }
    Ok(request)
}

/// The object's fields.
fn held(lua: &Lua, name: &'static str, contender: Contender) -> LuaResult<LuaValue> {
    let losses = Reader::new(name, contender.losses(), Losses::close);
    let object = build(lua, &contender)?;
    if let Some(object) = object.as_table() {
        object.raw_set("losses", losses)?;
        object.raw_set("native", NativeContender::new(contender))?;
    }
    Ok(object)
}

// SAFETY: it owns nothing that `encode` makes.
#[allow(unsafe_code)]
unsafe impl Encode for Contender {
    fn encode(&self, table: &mut Table) {
        table.message(c"header", self.header.as_ref());
        table.bytes(c"key", &self.key);
        table.integer(c"revision", self.revision);
        table.id(c"lease", self.lease);
    }
}

/// The native half of a lock, and of leadership.
#[derive(Default)]
pub(super) struct NativeContender {
    /// None in one that is made for its type alone.
    open: Option<Owned<Arc<Contender>>>,
}

impl NativeContender {
    fn new(contender: Contender) -> Self {
        let open = Some(Owned::new(Arc::new(contender)));
        Self { open }
    }

    fn contender(&self) -> Option<&Arc<Contender>> {
        self.open.as_ref()?.get()
    }

    /// Gives it up. The operation ends when nothing of it is left.
    fn give_up(&self, lua: &Lua, name: &'static str) -> LuaResult<LuaMultiValue> {
        let Some(contender) = self.contender().cloned() else {
            return failure::forked(lua, name);
        };
        contender.close();
        let gone = async move {
            let result = contender.gone().await;
            Box::new(Gone { call: name, result }) as Outcome
        };
        run(lua, name, gone.boxed())
    }
}

impl LuaUserData for NativeContender {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // keep(): the program has it now, and may forget it
        methods.add_method("keep", |_, native, ()| {
            if let Some(contender) = native.contender() {
                contender.keep();
            }
            Ok(())
        });

        methods.add_method("held", |_, native, ()| {
            Ok(native.contender().is_some_and(|contender| contender.is_held()))
        });

        // loss() -> why it is not held | nil where it is
        methods.add_method("loss", |lua, native, ()| {
            match native.contender().map(|held| held.loss()) {
                Some(None) => Ok(LuaNil),
                Some(Some(error)) => build(lua, &Loss(error)),
                None => build(
                    lua,
                    &Loss(etcd::Error::new(Code::Unavailable, "the process has forked")),
                ),
            }
        });

        methods.add_method("close", |_, native, ()| {
            if let Some(contender) = native.contender() {
                contender.close();
            }
            Ok(())
        });

        // lock.unlock() -> id of an operation that ends when its key is gone | nil, message, info
        for name in ["lock.unlock", "leader.resign"] {
            methods.add_method(name, move |lua, native, ()| native.give_up(lua, name));
        }
        guarded(methods);
        let proclaim = <Proclaim as Call>::NAME;
        methods.add_method(
            proclaim,
            move |lua, native, (value, more): (LuaValue, LuaValue)| match native.contender() {
                Some(contender) => submit::<Proclaim>(lua, &contender.guarded, value, &more),
                None => failure::forked(lua, proclaim),
            },
        );
    }
}

/// `leader:proclaim(value)`
pub(super) struct Proclaim(Bytes);

impl Decode for Proclaim {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self(fields.bytes("value")?))
    }
}

impl Call for Proclaim {
    const NAME: &'static str = "leader.proclaim";
    const REQUIRED: &'static [&'static str] = &["value"];
    const ONCE: bool = true;
    type Request = Self;
    type Response = Option<ResponseHeader>;

    fn writes(_: &Self) -> bool {
        true
    }

    async fn run(client: Client, Self(value): Self, options: CallOptions) -> etcd::Result<Self::Response> {
        client.proclaim(value, &options).await
    }

    fn encode(lua: &Lua, header: Self::Response) -> LuaResult<LuaValue> {
        build(lua, &Header(header))
    }
}

/// Calls of the client that are done only while something is held.
macro_rules! guarded {
    ($($call:ident $name:literal $method:ident $request:ident $response:ident $required:expr)*) => {
        $(
            struct $call;

            impl Call for $call {
                const NAME: &'static str = $name;
                const REQUIRED: &'static [&'static str] = $required;
                const ONCE: bool = true;
                type Request = $request;
                type Response = $response;

                fn writes(_: &$request) -> bool {
                    true
                }

                async fn run(client: Client, request: $request, options: CallOptions) -> etcd::Result<$response> {
                    client.$method(request, &options).await
                }

                fn encode(lua: &Lua, response: $response) -> LuaResult<LuaValue> {
                    build(lua, &response)
                }
            }
        )*

        fn guarded<M: LuaUserDataMethods<NativeContender>>(methods: &mut M) {
            $(
                methods.add_method($name, |lua, native, (request, more): (LuaValue, LuaValue)| {
                    match native.contender() {
                        Some(contender) => submit::<$call>(lua, &contender.guarded, request, &more),
                        None => failure::forked(lua, $name),
                    }
                });
            )*
        }
    };
}

guarded! {
    LockPut "lock.put" put PutRequest PutResponse PutRequest::REQUIRED
    LockDelete "lock.delete" delete DeleteRangeRequest DeleteRangeResponse DeleteRangeRequest::REQUIRED
    LockTxn "lock.txn" txn TxnRequest TxnResponse &[]
    LeaderPut "leader.put" put PutRequest PutResponse PutRequest::REQUIRED
    LeaderDelete "leader.delete" delete DeleteRangeRequest DeleteRangeResponse DeleteRangeRequest::REQUIRED
    LeaderTxn "leader.txn" txn TxnRequest TxnResponse &[]
}
