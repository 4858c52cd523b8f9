//! What a message becomes on its ways to Lua, and what prost says that it is, for `spec/support/tables.lua`. In debug
//! builds alone.
//!
//! In: the name of a message, and its bytes. Out: its table as it came, its table once it was decoded, and the text of
//! what prost has decoded; nil each where the message is refused.

use std::fmt::Debug;

use bytes::Bytes;
use mlua::prelude::*;
use prost::Message;

use super::table::{Push, build};
use crate::etcd::pb::{RangeResponse, TxnResponse};
use crate::etcd::{Batch, Receive, Received};

type Readings = (Option<LuaValue>, Option<LuaValue>, Option<String>);

pub(super) fn read(lua: &Lua, (name, bytes): (String, LuaString)) -> LuaResult<Readings> {
    let message = Bytes::copy_from_slice(&bytes.as_bytes());
    match name.as_str() {
        "RangeResponse" => readings::<Received<RangeResponse>>(lua, message),
        "TxnResponse" => readings::<Received<TxnResponse>>(lua, message),
        "WatchResponse" => readings::<Batch>(lua, message),
        _ => Err(LuaError::runtime("no such message")),
    }
}

fn readings<A: Receive + Push>(lua: &Lua, message: Bytes) -> LuaResult<Readings>
where
    A::Message: Push + Debug,
{
    let received = A::receive(message.clone()).ok();
    let decoded = A::Message::decode(message).ok();
    Ok((
        received.map(|received| build(lua, &received)).transpose()?,
        decoded.as_ref().map(|decoded| build(lua, decoded)).transpose()?,
        decoded.map(|decoded| format!("{decoded:?}")),
    ))
}
