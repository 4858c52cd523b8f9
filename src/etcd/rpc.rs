//! The services of etcd, each as methods of the [`Client`], and the table of all calls that are one request and one
//! response.
//!
//! A row of the table is a call: it makes the method of the client here and, on the floor above, that of Lua's. What
//! more there is to a call is in the file of its service.

mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;

use super::call::Kind;
use super::client::Client;
use super::config::CallOptions;
use super::error::Result;
use super::namespace::{Enter, Leave};
use super::pb;
use super::received::Receive;
use super::stats::{METHODS, Method};
use futures_util::TryFutureExt;

pub use kv::{Change, Increment, Incremented, Scan, ScanRequest, Swap, Swapped};
pub use maintenance::{Comparison, Complete, Defragmented, MemberHash, Piece, Snapshot, SnapshotTo};

/// Hands the rows of the table to the macro `$use`, service by service. A row is
///
/// ```text
/// /// What it does.
/// name(required, fields) { Request => Response, "Method", Kind }
/// ```
///
/// The name and the fields are those of Lua. Where exactly one field is required, Lua may give that alone. The kind
/// says what a repetition may do; `by hand` follows where the client's method is written out in the service's file, and
/// `of keys` where it reads keys, so that a request may say how new the store must be, or writes them.
/// Before the rows stand the service, the handle that has the methods, and what Lua puts before their names.
///
/// Beside this library tests and fuzz targets use it, which call every row.
#[doc(hidden)]
#[macro_export]
macro_rules! rpcs {
    ($use:ident) => {
        $use! {
            KV of Client, "" {
                /// Stores a value under a key. Not under a lease that this client knows to be lost.
                put(key, value) { PutRequest => PutResponse, "Put", Write, by hand, of keys }
                /// Reads a key or a range of keys.
                get(key) { RangeRequest => RangeResponse, "Range", Read, by hand, of keys }
                /// Deletes a key or a range of keys.
                delete(key) { DeleteRangeRequest => DeleteRangeResponse, "DeleteRange", Write, by hand, of keys }
                /// Forgets the history before a revision.
                compact(revision) { CompactionRequest => CompactionResponse, "Compact", Write }
            }

            Lease of Client, "" {
                /// Ends a lease and deletes its keys. Its renewal stops at once, whatever the server responds.
                revoke(ID) { LeaseRevokeRequest => LeaseRevokeResponse, "LeaseRevoke", Write, by hand }
                /// How long a lease still lives, in seconds; -1 for one that does not exist.
                ttl(ID) { LeaseTimeToLiveRequest => LeaseTimeToLiveResponse, "LeaseTimeToLive", Read, by hand }
                /// All leases of the cluster.
                leases() { LeaseLeasesRequest => LeaseLeasesResponse, "LeaseLeases", Read }
            }

            Auth of Auth, "auth." {
                /// Switches authentication on. There must be a user `root` with the role `root`.
                enable() { AuthEnableRequest => AuthEnableResponse, "AuthEnable", Write }
                /// Switches authentication off.
                disable() { AuthDisableRequest => AuthDisableResponse, "AuthDisable", Write }
                /// Is authentication switched on?
                status() { AuthStatusRequest => AuthStatusResponse, "AuthStatus", Read }
                /// Adds a user.
                useradd(name, password) { AuthUserAddRequest => AuthUserAddResponse, "UserAdd", Write }
                /// The roles of a user.
                userget(name) { AuthUserGetRequest => AuthUserGetResponse, "UserGet", Read }
                /// All users.
                userlist() { AuthUserListRequest => AuthUserListResponse, "UserList", Read }
                /// Deletes a user.
                userdelete(name) { AuthUserDeleteRequest => AuthUserDeleteResponse, "UserDelete", Write }
                /// Gives a user another password.
                userpassword(name, password) {
                    AuthUserChangePasswordRequest => AuthUserChangePasswordResponse, "UserChangePassword", Write
                }
                /// Gives a role to a user.
                usergrant(user, role) { AuthUserGrantRoleRequest => AuthUserGrantRoleResponse, "UserGrantRole", Write }
                /// Takes a role from a user.
                userrevoke(user, role) {
                    AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse, "UserRevokeRole", Write
                }
                /// Adds a role, which permits nothing yet.
                roleadd(name) { AuthRoleAddRequest => AuthRoleAddResponse, "RoleAdd", Write }
                /// What a role permits.
                roleget(role) { AuthRoleGetRequest => AuthRoleGetResponse, "RoleGet", Read }
                /// All roles.
                rolelist() { AuthRoleListRequest => AuthRoleListResponse, "RoleList", Read }
                /// Deletes a role, and takes it from all users.
                roledelete(role) { AuthRoleDeleteRequest => AuthRoleDeleteResponse, "RoleDelete", Write }
                /// Permits a role to read or write a key or a range of keys.
                rolegrant(role, permission, key) {
                    AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse, "RoleGrantPermission", Write
                }
                /// Takes from a role what was granted for exactly this key or range.
                rolerevoke(role, key) {
                    AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse, "RoleRevokePermission", Write
                }
            }

            Cluster of Cluster, "cluster." {
                /// The members of the cluster.
                members() { MemberListRequest => MemberListResponse, "MemberList", Read, by hand }
                /// Adds a member, which is started afterwards.
                add(peerURLs) { MemberAddRequest => MemberAddResponse, "MemberAdd", Write }
                /// Gives a member other addresses for its peers.
                update(ID, peerURLs) { MemberUpdateRequest => MemberUpdateResponse, "MemberUpdate", Write }
                /// Removes a member.
                remove(ID) { MemberRemoveRequest => MemberRemoveResponse, "MemberRemove", Write }
                /// Makes a learner a member that votes.
                promote(ID) { MemberPromoteRequest => MemberPromoteResponse, "MemberPromote", Write }
            }

            Maintenance of Maintenance, "maintenance." {
                /// What a member says of itself.
                status() { StatusRequest => StatusResponse, "Status", SerializableRead, by hand }
                /// The alarms that are raised.
                alarms() { AlarmRequest => AlarmResponse, "Alarm", Read }
                /// A hash of all that a member has stored.
                hash() { HashRequest => HashResponse, "Hash", SerializableRead }
                /// A hash of the keys of a member, as they were at a revision.
                hashkv() { HashKvRequest => HashKvResponse, "HashKV", SerializableRead }
                /// Makes another member the leader.
                moveleader(targetID) { MoveLeaderRequest => MoveLeaderResponse, "MoveLeader", Write, by hand }
                /// Prepares the cluster for an older version, or ends that.
                downgrade(action) { DowngradeRequest => DowngradeResponse, "Downgrade", Write }
            }
        }
    };
}

#[cfg(feature = "lua")]
pub(crate) use rpcs;

/// What has the calls of a service as its methods: the client, or a handle on it.
trait Service {
    fn of(client: Client) -> Self;
    fn client(&self) -> &Client;
}

impl Service for Client {
    fn of(client: Client) -> Self {
        client
    }

    fn client(&self) -> &Client {
        self
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $handle:ident by $name:ident)*) => {$(
        $(#[$doc])*
        pub struct $handle(Client);

        impl Service for $handle {
            fn of(client: Client) -> Self {
                Self(client)
            }

            fn client(&self) -> &Client {
                &self.0
            }
        }

        impl Client {
            $(#[$doc])*
            pub fn $name(&self) -> $handle {
                $handle(self.clone())
            }
        }
    )*};
}

handles! {
    /// Users, roles, and whether anybody must log in.
    Auth by auth
    /// The members of the cluster.
    Cluster by cluster
    /// The state of each member, and what is done about it.
    Maintenance by maintenance
}

/// A call that is one request and one response, by its request.
pub trait Unary: pb::Request + 'static {
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
    of_keys: bool,
}

impl Rpc {
    const fn method(&self) -> Method {
        Method {
            name: self.name,
            path: self.path,
        }
    }

    /// May it change something?
    pub fn writes(&self) -> bool {
        !self.kind.reads()
    }

    /// Does it read keys? Then it takes `min_revision`.
    pub const fn reads_keys(&self) -> bool {
        self.of_keys && self.kind.reads()
    }

    /// Does it write keys? Then it takes `once`.
    pub const fn writes_keys(&self) -> bool {
        self.of_keys && !self.kind.reads()
    }
}

macro_rules! define {
    ($($service:ident of $handle:ident, $prefix:literal {
        $($(#[doc = $doc:literal])* $name:ident($($field:ident),*) {
            $request:ident => $response:ident, $method:literal, $kind:ident $(, by $hand:ident)? $(, of $keys:ident)?
        })*
    })*) => {
        $($(
            impl Unary for pb::$request {
                type Response = pb::$response;

                const RPC: Rpc = Rpc {
                    name: concat!($prefix, stringify!($name)),
                    doc: concat!($($doc),*),
                    required: &[$(stringify!($field)),*],
                    path: concat!("/etcdserverpb.", stringify!($service), "/", $method),
                    kind: Kind::$kind,
                    of_keys: false $(|| !stringify!($keys).is_empty())?,
                };

                async fn run(self, client: Client, options: CallOptions) -> Result<pb::$response> {
                    <$handle as Service>::of(client).$name(self, &options).await
                }
            }

            define!(@ $($hand)? $(#[doc = $doc])* $handle $name $request $response);
        )*)*

        /// All rows.
        pub const RPCS: &[Rpc] = &[$($(pb::$request::RPC),*),*];
    };
    (@ hand $($row:tt)*) => {};
    (@ $(#[$doc:meta])* $handle:ident $name:ident $request:ident $response:ident) => {
        impl $handle {
            $(#[$doc])*
            pub fn $name(
                &self,
                request: pb::$request,
                options: &CallOptions,
            ) -> impl Future<Output = Result<pb::$response>> {
                Service::client(self).call(request, options)
            }
        }
    };
}

rpcs!(define);

/// Each has a place among the numbers of a client; some calls that are no rows have one too.
const _: () = assert!(RPCS.len() + 16 < METHODS);

impl Client {
    /// Makes a call of the table until the server responds, it fails for good, or has been tried often enough.
    fn call<R: Unary>(&self, request: R, options: &CallOptions) -> impl Future<Output = Result<R::Response>> {
        self.call_as(R::RPC.kind, request, options)
    }

    /// The same as a call of another kind, with keys that lie in the client's namespace.
    fn call_inside<R: Unary + Enter, A: Receive<Message = R::Response> + Leave + Default + Send>(
        &self,
        kind: Kind,
        mut request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<A>> {
        self.namespace.enter(&mut request);
        let call = self.call_as(kind, request, options);
        call.map_ok(|mut response| {
            self.namespace.leave(&mut response);
            response
        })
    }

    /// The same as a call of another kind, whose response may stay as it came.
    fn call_as<R: Unary, A: Receive<Message = R::Response> + Default + Send>(
        &self,
        kind: Kind,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<A>> {
        let call = self.servers().call(kind, R::RPC.method(), request, options);
        call.map_ok(|answered| answered.response)
    }
}
