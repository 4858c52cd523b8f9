//! The Cluster service: what is more than a row of the table.

use super::{Cluster, Service};
use crate::etcd::call::Kind;
use crate::etcd::config::CallOptions;
use crate::etcd::error::Result;
use crate::etcd::pb::{MemberListRequest, MemberListResponse};

impl Cluster {
    /// The members of the cluster. One that need not be `linearizable` is what the member that is asked believes.
    pub fn members(
        &self,
        request: MemberListRequest,
        options: &CallOptions,
    ) -> impl Future<Output = Result<MemberListResponse>> {
        let kind = if request.linearizable {
            Kind::Read
        } else {
            Kind::SerializableRead
        };
        self.client().call_as(kind, request, options)
    }
}
