//! The codes of etcd's own errors, by their words.
//!
//! etcd's proxy passes the words of an error on, and loses its code. The words are those of etcd's `rpctypes`. The
//! Maintenance service has lost the code too where it refuses a user, in the words of etcd's `auth`.

use tonic::Code;

/// The code with which etcd sends these words, if they are its own.
pub(crate) fn code(text: &str) -> Option<Code> {
    let words = text
        .strip_prefix("etcdserver: ")
        .or_else(|| text.strip_prefix("auth: "));
    Some(match words? {
        "watch canceled" | "request canceled" => Code::Cancelled,
        "key is not provided"
        | "key not found"
        | "value is provided"
        | "lease is provided"
        | "too many operations in txn request"
        | "duplicate key given in txn request"
        | "invalid client api version"
        | "invalid sort option"
        | "given member URLs are invalid"
        | "request is too large"
        | "user name is empty"
        | "role name is empty"
        | "authentication failed, invalid user ID or password"
        | "permission not given"
        | "invalid auth management"
        | "authentication failed, password was given for no password user"
        | "revision of auth store is old"
        | "revision in header is old"
        | "wrong downgrade target version format"
        | "invalid downgrade target version" => Code::InvalidArgument,
        "context deadline exceeded" => Code::DeadlineExceeded,
        "requested lease not found" | "member not found" => Code::NotFound,
        "permission denied" => Code::PermissionDenied,
        "too many requests" | "mvcc: database space exceeded" => Code::ResourceExhausted,
        "lease already exists"
        | "member ID already exist"
        | "Peer URLs already exists"
        | "re-configuration failed due to not enough started members"
        | "can only promote a learner member"
        | "can only promote a learner member which is in sync with leader"
        | "too many learner members in cluster"
        | "cluster ID mismatch"
        | "root user does not exist"
        | "root user does not have root role"
        | "user already exists"
        | "user not found"
        | "role already exists"
        | "role not found"
        | "user name already exists"
        | "user name not found"
        | "role name already exists"
        | "role name not found"
        | "role is not granted to the user"
        | "permission is not granted to the role"
        | "authentication is not enabled"
        | "not leader"
        | "not capable"
        | "bad leader transferee"
        | "cluster version not found during downgrade"
        | "cluster has a downgrade job in progress"
        | "no inflight downgrade job"
        | "rpc not supported for learner" => Code::FailedPrecondition,
        "mvcc: required revision has been compacted"
        | "mvcc: required revision is a future revision"
        | "too large lease TTL" => Code::OutOfRange,
        "no leader"
        | "leader changed"
        | "server stopped"
        | "request timed out"
        | "request timed out, possibly due to previous leader failure"
        | "request timed out, possibly due to connection lost"
        | "request timed out, waiting for the applied index took too long"
        | "unhealthy cluster" => Code::Unavailable,
        "corrupt cluster" => Code::DataLoss,
        "invalid auth token" => Code::Unauthenticated,
        _ => return None,
    })
}
