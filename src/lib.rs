//! `silly.store.etcd`, the etcd v3 client for Lua.
//!
//! The way of a call:
//!
//! ```text
//!  Lua coroutine     client:get { key = "a" }
//!    1  decode       Lua table -> typed request, every field checked        lua/
//!    2  submit       to the runtime; the coroutine is parked                bridge/   <- the Lua thread leaves here
//!  tokio
//!    3  call         endpoint, deadline, retry, gRPC                        etcd/
//!    4  complete     result -> the completion queue of that lua_State,      bridge/
//!                    and one wake-up per batch
//!  Lua thread
//!    5  encode       response -> Lua table                                  lua/
//!    6  resume       the coroutine receives `table` or `nil, message, info` lua/silly/store/etcd/ (Lua)
//! ```
//!
//! Three floors, and imports run only downwards: `lua` knows Lua and no sockets, `bridge` knows neither Lua nor etcd,
//! `etcd` is a Rust client that knows no Lua. Without a Lua feature only the lower two are built.

pub mod bridge;
pub mod etcd;

#[cfg(feature = "lua")]
mod lua;
