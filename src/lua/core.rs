//! `silly.store.etcd.core`: what the Lua half is built on. One per lua_State.
//!
//! It makes clients, hands out results, and gives a host without an event loop something to wait with. The standalone
//! `silly` runtime takes its clock, its sleep and its JSON from here too.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mlua::prelude::*;
use ring::digest::{SHA256, digest};

use super::client::NativeClient;
use super::operation::{self, bridge};
use super::yieldable::IsYieldable;
use super::{cdata, config, election, endpoints, failure, json, maintenance, stats, submit, take, update};
use crate::bridge::{self, SubmitError};
use crate::etcd::{Applied, Client, Code, Error, RPCS, random};

/// The longest wait. Nobody notices that a longer one ends early.
const LONGEST_WAIT: f64 = 1e6;

pub(super) struct Core {
    started: Instant,
}

impl Core {
    /// Gives the lua_State its bridge.
    pub(super) fn new(lua: &Lua) -> LuaResult<Self> {
        // Where the FFI is out of reach, what it makes has no type that is known.
        let _ = cdata::prepare(lua);
        operation::prepare(lua)?;
        Ok(Self {
            started: Instant::now(),
        })
    }
}

impl LuaUserData for Core {
    fn add_fields<F: LuaUserDataFields<Self>>(fields: &mut F) {
        // isyieldable() -> can the running coroutine be suspended right here? If not, maybe what to do
        fields.add_field("isyieldable", IsYieldable);
    }

    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // version() -> the library's
        methods.add_method("version", |_, _, ()| Ok(env!("CARGO_PKG_VERSION")));

        // calls() -> the names of a client's methods that take a request and return the response, and nothing else;
        // those of a service that has a name of its own stand behind that: `auth.enable`
        methods.add_method("calls", |lua, _, ()| {
            let rows = RPCS.iter().map(|rpc| rpc.name);
            lua.create_sequence_from(
                rows.chain(update::CALLS)
                    .chain(election::CALLS)
                    .chain(endpoints::CALLS)
                    .chain(maintenance::CALLS),
            )
        });

        // newclient(conf) -> client | nil, message
        methods.add_method("newclient", |lua, _, conf: LuaValue| match config::decode(lua, conf) {
            Ok(config) => NativeClient::new(Client::new(config)).into_lua_multi(lua),
            Err(invalid) => failure::invalid(lua, &invalid),
        });

        // next() -> id, ... | nil: the results of an operation that has completed; after a fork, once, the negative id
        // of the last operation before it, with the results of all that were under way
        methods.add_method("next", |lua, _, ()| {
            let bridge = bridge(lua)?;
            if let Some(last_id) = bridge.abandoned() {
                let error = Error {
                    applied: Applied::Maybe,
                    ..Error::new(Code::Unavailable, SubmitError::Forked.to_string())
                };
                let mut values = failure::push(lua, "call", &error)?;
                values.push_front((-last_id.cast_signed()).into_lua(lua)?);
                return Ok(values);
            }
            let Some((id, outcome)) = bridge.take() else {
                return Ok(LuaMultiValue::new());
            };
            // The caller that waits for this id must hear of it, whatever happens: if not now, once there is memory.
            let unwritten = outcome.unwritten();
            let values = outcome.encode(lua).or_else(|error| unwritten.write(lua, &error));
            values
                .and_then(|mut values| {
                    values.push_front(id.into_lua(lua)?);
                    Ok(values)
                })
                .inspect_err(|_| bridge.put_back(id, Box::new(unwritten)))
        });

        // taker(waiters) -> a function that writes what has completed into its waiter, see `take`
        methods.add_method("taker", |lua, _, waiters: LuaTable| take::function(lua, waiters));

        // simple() -> the names of the calls that a client's `submitter` knows, each in its place
        methods.add_method("simple", |lua, _, ()| {
            lua.create_sequence_from(submit::CALLS.iter().map(|(name, _)| *name))
        });

        // giveup(id): nobody waits for this operation any longer
        methods.add_method("giveup", |lua, _, id: u64| {
            operation::give_up(lua, id);
            Ok(())
        });

        // wait(seconds?, taken?): blocks the thread until something completes, the time is over, or a signal comes;
        // not at all where more results have been taken than the caller has seen to
        methods.add_method("wait", |lua, _, (seconds, taken): (Option<f64>, Option<u64>)| {
            let limit =
                seconds.map(|seconds| Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT)).unwrap_or_default());
            Ok(bridge(lua)?.wait(limit, taken)?)
        });

        // catch(): from now on SIGINT and SIGTERM end a wait and are told by `caught`, in place of what the process did
        // about them
        methods.add_method("catch", |_, _, ()| Ok(bridge::catch()?));

        // caught() -> the number of the one that came | nil, told once
        methods.add_method("caught", |_, _, ()| Ok(bridge::caught()));

        // fd() -> a descriptor that is readable while there is something to take; it outlives the lua_State
        methods.add_method("fd", |lua, _, ()| Ok(bridge(lua)?.descriptor()));

        // port() -> port, nonce | nil, message: where to connect on 127.0.0.1 and what to send first; a line break
        // comes from there when there is something to take
        methods.add_method("port", |lua, _, ()| match bridge(lua)?.port() {
            Ok(introduction) => introduction.into_lua_multi(lua),
            Err(error) => (LuaNil, error.to_string()).into_lua_multi(lua),
        });

        // oracle(name, bytes) -> table | nil, table | nil, text | nil: what a message becomes
        #[cfg(debug_assertions)]
        methods.add_method("oracle", |lua, _, message| super::oracle::read(lua, message));

        // metrics(clients, names) -> the text of these clients that Prometheus reads
        methods.add_method(
            "metrics",
            |lua, _, (clients, names): (Vec<LuaUserDataRef<NativeClient>>, Vec<LuaString>)| {
                let names: Vec<_> = names.iter().map(LuaString::to_string_lossy).collect();
                let named = names.iter().map(String::as_str).zip(&clients);
                stats::metrics(lua, named.filter_map(|(name, native)| Some((name, native.client()?))))
            },
        );

        // poke(): signals as if there was something to take
        methods.add_method("poke", |lua, _, ()| {
            bridge(lua)?.poke();
            Ok(())
        });

        // now() -> milliseconds since 1970
        methods.add_method("now", |_, _, ()| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(now.as_millis() as i64)
        });

        // monotonic() -> milliseconds since the module was loaded
        methods.add_method("monotonic", |_, core, ()| Ok(core.started.elapsed().as_millis() as i64));

        // random(n) -> an integer from 1 to n
        methods.add_method("random", |_, _, n: usize| Ok(random::below(n) + 1));

        // rendezvous(key, ids) -> the place of the id that the key belongs to, the same in every process, whatever others
        // there are; nil where there are none
        methods.add_method("rendezvous", |_, _, (key, ids): (LuaString, Vec<LuaString>)| {
            let weigh = |id: &LuaString| {
                let both = [&*key.as_bytes(), b"\0", &*id.as_bytes()].concat();
                digest(&SHA256, &both).as_ref().to_vec()
            };
            let heaviest = ids.iter().enumerate().max_by_key(|(_, id)| weigh(id));
            Ok(heaviest.map(|(place, _)| place + 1))
        });

        // tojson(value) -> text | nil, message
        methods.add_method("tojson", |lua, _, value: LuaValue| json::encode(lua, value));

        // fromjson(text) -> value | nil, message
        methods.add_method("fromjson", |lua, _, text: LuaValue| json::decode(lua, &text));
    }
}
