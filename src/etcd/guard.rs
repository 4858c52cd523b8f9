//! Writes that are done only while something is held.
//!
//! In: a request. Out: the same inside a transaction that compares the key of the holder first, and the response as
//! that of the request alone. Where the comparison fails nothing was written, and the place is lost.

use std::sync::Arc;

use bytes::Bytes;

use super::contender::place;
use super::error::{Code, Error, Result};
use super::holding::Holding;
use super::pb::request_op::Request as Op;
use super::pb::response_op::Response as OpResponse;
use super::pb::{PutRequest, TxnRequest, TxnResponse};
use super::range::KeyRange;

/// The key of a holder, as it was made.
pub(crate) struct Guard {
    pub(crate) key: Bytes,
    /// When it was created.
    pub(crate) revision: i64,
    pub(crate) lease: i64,
    pub(crate) holding: Arc<Holding>,
}

impl Guard {
    /// The request, to be done only if the key is as it was made.
    pub(crate) fn wrap(&self, request: TxnRequest) -> Result<TxnRequest> {
        self.holding.check()?;
        self.spared(&request)?;
        Ok(self.compared(request))
    }

    /// A put of the key itself, by its holder.
    pub(crate) fn wrap_own(&self, value: Bytes) -> Result<TxnRequest> {
        self.holding.check()?;
        let put = PutRequest {
            key: self.key.clone(),
            value,
            lease: self.lease,
            ..PutRequest::default()
        };
        Ok(self.compared(TxnRequest {
            success: vec![Op::RequestPut(put).into()],
            ..TxnRequest::default()
        }))
    }

    fn compared(&self, request: TxnRequest) -> TxnRequest {
        TxnRequest {
            compare: place::guard(&self.key, self.revision, self.lease),
            success: vec![Op::RequestTxn(request).into()],
            failure: Vec::new(),
        }
    }

    /// The response to the request, with the header of the whole: those inside have none.
    pub(crate) fn unwrap(&self, response: TxnResponse) -> Result<TxnResponse> {
        let inner = response.responses.into_iter().next().and_then(|op| op.response);
        match inner {
            Some(OpResponse::ResponseTxn(inner)) if response.succeeded => Ok(TxnResponse {
                header: response.header,
                ..inner
            }),
            _ if response.succeeded => Err(Error::new(Code::Protocol, "the response lacks that of the write")),
            _ => {
                let error = Error::new(Code::Lost, "its key is not there any more as it was");
                self.holding.end(error.clone());
                Err(error)
            }
        }
    }

    /// Refuses to change the key itself: that would take it off its lease.
    fn spared(&self, request: &TxnRequest) -> Result<()> {
        match KeyRange::of_key(self.key.clone()).is_written_by(request) {
            false => Ok(()),
            true => Err(Error::new(
                Code::InvalidArgument,
                "the key of the holder itself must not be changed: it goes when it is given up",
            )),
        }
    }
}
