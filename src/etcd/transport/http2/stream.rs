//! One exchange on a connection, as its user sees it. Given up when it is dropped before its end.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;

use super::hpack::{Fields, Metadata};
use super::line::Shared;
use super::output::Body;
use super::session::Broken;
use crate::etcd::transport::deadline::Deadline;

pub(crate) struct Stream {
    shared: Arc<Shared>,
    id: u32,
}

impl Stream {
    /// Begins a request, whose response must have come by a deadline. None where the connection takes no more.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        path: &'static str,
        metadata: &Metadata<'_>,
        deadline: Option<Deadline>,
    ) -> Option<Self> {
        let id = shared.session_served().open(path, metadata, deadline)?;
        let shared = shared.clone();
        Some(Self { shared, id })
    }

    /// Sends a piece of the body as the server's windows open; the end with the `last`.
    pub(crate) fn send(&self, body: Body, last: bool) -> Result<(), Broken> {
        self.shared.session().send(self.id, body, last)
    }

    /// Waits until something may be sent at once, and says how much.
    pub(crate) async fn window(&self) -> Result<usize, Broken> {
        poll_fn(|cx| self.shared.session().poll_window(self.id, cx)).await
    }

    /// Waits for the head of the response.
    pub(crate) async fn head(&self) -> Result<Fields, Broken> {
        poll_fn(|cx| self.shared.session().poll_head(self.id, cx)).await
    }

    /// Waits for the next piece of the response's body; none where it has come to its end. The server may then send as
    /// much again.
    pub(crate) async fn data(&self) -> Result<Option<Bytes>, Broken> {
        let piece = poll_fn(|cx| self.shared.session().poll_data(self.id, cx)).await?;
        Ok(piece.map(bytes::BytesMut::freeze))
    }

    /// Waits for the end of the response, and returns the trailers where there are some.
    pub(crate) async fn trailers(&self) -> Result<Option<Fields>, Broken> {
        poll_fn(|cx| self.shared.session().poll_trailers(self.id, cx)).await
    }
}

impl AsRef<Self> for Stream {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.session().forget(self.id);
    }
}
