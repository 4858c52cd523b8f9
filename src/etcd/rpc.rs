//! The services of etcd, each as methods of the [`Client`].

mod kv;
mod lease;
mod watch;

use futures_util::TryFutureExt;
use prost::Message;

use super::call::Kind;
use super::client::Client;
use super::config::CallOptions;
use super::error::Result;
use super::pb::Response;

impl Client {
    /// Calls `method` with `message` until it answers, fails for good, or has been tried often enough.
    pub(crate) fn call<R: Response>(
        &self,
        kind: Kind,
        method: &'static str,
        message: impl Message,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R>> {
        let call = self.servers().call(kind, method, message, options);
        call.map_ok(|answered| answered.response)
    }
}
