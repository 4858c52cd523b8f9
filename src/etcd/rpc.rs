//! The services of etcd, each as methods of the [`Client`], and the table of all calls that are one request and one
//! response.
//!
//! A row of the table is a call: it makes the method of the client here and, on the floor above, that of Lua's. What
//! more there is to a call is in the file of its service.

mod kv;
mod lease;
mod watch;

use futures_util::TryFutureExt;
use prost::Message;

use super::call::Kind;
use super::client::Client;
use super::config::CallOptions;
use super::error::Result;
use super::pb;

/// Hands the rows of the table to the macro `$use`. A row is
///
/// ```text
/// /// What it does.
/// name(required, fields) { Request => Response, "Service/Method", Kind }
/// ```
///
/// The name and the fields are those of Lua. Where exactly one field is required, Lua may give that alone. The kind
/// says what a repetition may do; `by hand` follows where the client's method is written out in the service's file.
///
/// Beside this library tests and fuzz targets use it, which call every row.
#[doc(hidden)]
#[macro_export]
macro_rules! rpcs {
    ($use:ident) => {
        $use! {
            /// Stores a value under a key. Not under a lease that this client knows to be lost.
            put(key, value) { PutRequest => PutResponse, "KV/Put", Write, by hand }
            /// Reads a key or a range of keys.
            get(key) { RangeRequest => RangeResponse, "KV/Range", Read, by hand }
            /// Deletes a key or a range of keys.
            delete(key) { DeleteRangeRequest => DeleteRangeResponse, "KV/DeleteRange", Write }
            /// Forgets the history before a revision.
            compact(revision) { CompactionRequest => CompactionResponse, "KV/Compact", Write }

            /// Ends a lease and deletes its keys. Its renewal stops at once, whatever the server responds.
            revoke(ID) { LeaseRevokeRequest => LeaseRevokeResponse, "Lease/LeaseRevoke", Write, by hand }
            /// How long a lease still lives, in seconds; -1 for one that does not exist.
            ttl(ID) { LeaseTimeToLiveRequest => LeaseTimeToLiveResponse, "Lease/LeaseTimeToLive", Read }
            /// All leases of the cluster.
            leases() { LeaseLeasesRequest => LeaseLeasesResponse, "Lease/LeaseLeases", Read }
        }
    };
}

#[cfg(feature = "lua")]
pub(crate) use rpcs;

/// A call that is one request and one response, by its request.
pub trait Unary: Message + Default + 'static {
    /// What the server responds.
    type Response: pb::Response + 'static;

    /// What is the same for all requests of the call.
    const RPC: Rpc;

    /// Runs it on `client`.
    fn run(self, client: Client, options: CallOptions) -> impl Future<Output = Result<Self::Response>> + Send;
}

/// A row of the table.
pub struct Rpc {
    /// Its name in Lua, and that of the client's method.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The fields that a request must have.
    pub required: &'static [&'static str],
    /// Its path on the wire.
    pub path: &'static str,
    pub(crate) kind: Kind,
}

impl Rpc {
    /// May it change something?
    pub fn writes(&self) -> bool {
        !self.kind.reads()
    }
}

macro_rules! define {
    ($($(#[doc = $doc:literal])* $name:ident($($field:ident),*) {
        $request:ident => $response:ident, $path:literal, $kind:ident $(, by $hand:ident)?
    })*) => {$(
        impl Unary for pb::$request {
            type Response = pb::$response;

            const RPC: Rpc = Rpc {
                name: stringify!($name),
                doc: concat!($($doc),*),
                required: &[$(stringify!($field)),*],
                path: concat!("/etcdserverpb.", $path),
                kind: Kind::$kind,
            };

            async fn run(self, client: Client, options: CallOptions) -> Result<pb::$response> {
                client.$name(self, &options).await
            }
        }

        define!(@ $($hand)? $(#[doc = $doc])* $name $request $response);
    )*

        /// All rows.
        pub const RPCS: &[Rpc] = &[$(pb::$request::RPC),*];
    };
    (@ hand $($row:tt)*) => {};
    (@ $(#[$doc:meta])* $name:ident $request:ident $response:ident) => {
        impl Client {
            $(#[$doc])*
            pub fn $name(
                &self,
                request: pb::$request,
                options: &CallOptions,
            ) -> impl Future<Output = Result<pb::$response>> {
                self.call(request, options)
            }
        }
    };
}

rpcs!(define);

impl Client {
    /// Makes a call of the table until the server responds, it fails for good, or has been tried often enough.
    fn call<R: Unary>(&self, request: R, options: &CallOptions) -> impl Future<Output = Result<R::Response>> {
        self.call_as(R::RPC.kind, request, options)
    }

    /// The same as a call of another kind.
    fn call_as<R: Unary>(
        &self,
        kind: Kind,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R::Response>> {
        let call = self.servers().call(kind, R::RPC.path, request, options);
        call.map_ok(|answered| answered.response)
    }
}
