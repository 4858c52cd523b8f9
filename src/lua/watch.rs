//! The Watch service: `client:watch(req)` and the native half of the object that it returns.

use mlua::prelude::*;

use super::call::Call;
use super::failure::Invalid;
use super::fields::Fields;
use super::kv::{header, key_range, key_value};
use super::read::Reader;
use super::table::{Table, build};
use crate::etcd::pb::{Event, WatchCreateRequest, WatchResponse};
use crate::etcd::{CallOptions, Client, Result, Watcher};

/// The event types and the filters that leave them out, by their numbers.
const EVENTS: [&str; 2] = ["PUT", "DELETE"];
const FILTERS: [&str; 2] = ["NOPUT", "NODELETE"];

/// `client:watch(req)`
pub(super) struct Watch;

impl Call for Watch {
    const NAME: &'static str = "watch";
    const ALONE: Option<&'static str> = Some("key");
    type Request = WatchCreateRequest;
    type Response = Watcher;

    fn decode(fields: &mut Fields<'_>) -> Result<WatchCreateRequest, Invalid> {
        let (key, range_end) = key_range(fields)?;
        let revision = fields.natural("revision")?;
        let start_revision = fields.natural("start_revision")?;
        if revision != 0 && start_revision != 0 && revision != start_revision {
            return Err(fields.field("start_revision", "contradicts 'revision'"));
        }
        let mut filters = Vec::new();
        for filter in fields.list("filters")? {
            filters.push(fields.chosen("filters", filter, &FILTERS)?);
        }
        for (number, name) in (0..).zip(FILTERS) {
            if fields.flag(name)? {
                filters.push(number);
            }
        }
        Ok(WatchCreateRequest {
            key,
            range_end,
            start_revision: revision.max(start_revision),
            progress_notify: fields.flag("progress_notify")?,
            filters,
            prev_kv: fields.flag("prev_kv")?,
            ..WatchCreateRequest::default()
        })
    }

    fn writes(_: &Self::Request) -> bool {
        false
    }

    async fn run(client: Client, request: WatchCreateRequest, options: CallOptions) -> Result<Watcher> {
        client.watch(request, &options).await
    }

    fn encode(lua: &Lua, watcher: Watcher) -> LuaResult<LuaValue> {
        let reader = Reader::new(Self::NAME, watcher, response, Watcher::close);
        reader.telling(status).into_lua(lua)
    }
}

fn status(lua: &Lua, watcher: &Watcher) -> LuaResult<LuaValue> {
    let status = watcher.status();
    build(lua, |t| {
        t.text(c"state", status.state.name());
        t.integer(c"revision", status.revision);
        t.number(c"lag", status.lag.as_secs_f64());
        t.optional(c"message", status.message.as_ref(), |t, message| {
            t.push_bytes(message.as_bytes())
        });
    })
}

fn response(lua: &Lua, response: &WatchResponse) -> LuaResult<LuaValue> {
    build(lua, |t| {
        header(t, response.header.as_ref());
        t.id(c"watch_id", response.watch_id);
        t.flag(c"created", response.created);
        t.flag(c"canceled", response.canceled);
        t.integer(c"compact_revision", response.compact_revision);
        t.text(c"cancel_reason", &response.cancel_reason);
        t.flag(c"fragment", response.fragment);
        t.list(c"events", &response.events, event);
    })
}

fn event(t: &mut Table, event: &Event) {
    t.push_table(|t| {
        match EVENTS.get(event.r#type as usize) {
            Some(name) => t.text(c"type", name),
            None => t.integer(c"type", event.r#type.into()),
        }
        t.optional(c"kv", event.kv.as_ref(), key_value);
        t.optional(c"prev_kv", event.prev_kv.as_ref(), key_value);
    });
}
