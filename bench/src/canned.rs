//! The canned server: answers the calls that the cases make, at once and without storing anything, so that what a
//! case costs is the client's own.
//!
//! In: how many events the history under `REPLAY` has. Out: its address on stdout; it serves until it is killed.
//! Everything runs on one thread, so that the client has the other cores for itself. This file has the services,
//! `shared` what they answer.

mod shared;

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use pb::etcdserverpb::{self as rpc, request_op, response_op};
use shared::Shared;

#[allow(clippy::all, unused_qualifications)]
pub mod pb {
    pub mod authpb {
        tonic::include_proto!("authpb");
    }
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
struct Canned(Arc<Shared>);

/// Serves until it is killed.
pub async fn serve(events: i64) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let canned = Canned(Arc::new(Shared::new(events)));
    Server::builder()
        // As etcd has it: no limit.
        .max_concurrent_streams(u32::MAX)
        .add_service(rpc::kv_server::KvServer::new(canned.clone()))
        .add_service(rpc::watch_server::WatchServer::new(canned.clone()))
        .add_service(rpc::lease_server::LeaseServer::new(canned))
        .serve_with_incoming(TcpListenerStream::new(listener).map(|socket| {
            // Nagle's algorithm would hold small answers back.
            socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket))
        }))
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl rpc::kv_server::Kv for Canned {
    type RangeStreamStream = Answers<rpc::RangeStreamResponse>;

    async fn range(&self, request: Request<rpc::RangeRequest>) -> Answer<rpc::RangeResponse> {
        Ok(Response::new(self.0.range(request.get_ref()).await))
    }

    async fn put(&self, request: Request<rpc::PutRequest>) -> Answer<rpc::PutResponse> {
        Ok(Response::new(self.0.put(request.into_inner()).await))
    }

    async fn delete_range(&self, _: Request<rpc::DeleteRangeRequest>) -> Answer<rpc::DeleteRangeResponse> {
        Ok(Response::new(self.0.delete()))
    }

    async fn txn(&self, request: Request<rpc::TxnRequest>) -> Answer<rpc::TxnResponse> {
        let mut responses = Vec::new();
        for operation in request.into_inner().success {
            let response = match operation.request {
                Some(request_op::Request::RequestRange(range)) => {
                    response_op::Response::ResponseRange(self.0.range(&range).await)
                }
                Some(request_op::Request::RequestPut(put)) => response_op::Response::ResponsePut(self.0.put(put).await),
                Some(request_op::Request::RequestDeleteRange(_)) => {
                    response_op::Response::ResponseDeleteRange(self.0.delete())
                }
                _ => return Err(Status::unimplemented("no case needs it")),
            };
            responses.push(rpc::ResponseOp {
                response: Some(response),
            });
        }
        Ok(Response::new(rpc::TxnResponse {
            header: self.0.header(),
            succeeded: true,
            responses,
        }))
    }

    async fn range_stream(&self, _: Request<rpc::RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("no case needs it"))
    }

    async fn compact(&self, _: Request<rpc::CompactionRequest>) -> Answer<rpc::CompactionResponse> {
        Err(Status::unimplemented("no case needs it"))
    }
}

#[tonic::async_trait]
impl rpc::watch_server::Watch for Canned {
    type WatchStream = ReceiverStream<Result<rpc::WatchResponse, Status>>;

    async fn watch(&self, request: Request<Streaming<rpc::WatchRequest>>) -> Answer<Self::WatchStream> {
        let (sender, receiver) = mpsc::channel(64);
        let shared = self.0.clone();
        tokio::spawn(async move { shared.watch(request.into_inner(), sender).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl rpc::lease_server::Lease for Canned {
    type LeaseKeepAliveStream = Answers<rpc::LeaseKeepAliveResponse>;

    async fn lease_grant(&self, request: Request<rpc::LeaseGrantRequest>) -> Answer<rpc::LeaseGrantResponse> {
        let rpc::LeaseGrantRequest { ttl, id } = request.into_inner();
        Ok(Response::new(rpc::LeaseGrantResponse {
            header: self.0.header(),
            id: self.0.grant(id, ttl),
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(&self, _: Request<rpc::LeaseRevokeRequest>) -> Answer<rpc::LeaseRevokeResponse> {
        Ok(Response::new(rpc::LeaseRevokeResponse {
            header: self.0.header(),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<rpc::LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let shared = self.0.clone();
        Ok(Response::new(Box::pin(request.into_inner().map(move |request| {
            Ok(rpc::LeaseKeepAliveResponse {
                header: shared.header(),
                id: request?.id,
                ttl: shared.renew(),
            })
        }))))
    }

    async fn lease_time_to_live(
        &self,
        _: Request<rpc::LeaseTimeToLiveRequest>,
    ) -> Answer<rpc::LeaseTimeToLiveResponse> {
        Err(Status::unimplemented("no case needs it"))
    }

    async fn lease_leases(&self, _: Request<rpc::LeaseLeasesRequest>) -> Answer<rpc::LeaseLeasesResponse> {
        Err(Status::unimplemented("no case needs it"))
    }
}
