//! A connection as tonic's generated clients want it: an HTTP request goes in, a response comes out.
//!
//! Streams go this way. Each has a task that sends what the client has to say, and ends with the stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower_service::Service;

use super::connection::{Connection, Open, RequestError};
use super::unary::DETAILS;

impl Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let path = head.uri.into_parts().path_and_query.ok_or(RequestError::NotSent)?;
            let exchange = connection.ready().await?.send(path, head.headers)?;
            let ended = CancellationToken::new();
            tokio::spawn(ended.clone().run_until_cancelled_owned(send(body, exchange.body)));
            let ended = ended.drop_guard();
            let response = exchange.response.await;
            let mut response = response.map_err(|error| connection.broken(error))?;
            response.headers_mut().remove(DETAILS);
            Ok(response.map(|stream| Answer {
                stream,
                _open: exchange.open,
                _ended: ended,
            }))
        })
    }
}

/// Sends the body of a request as far as the server's window is open. It ends early with the answer.
async fn send(mut body: Body, mut stream: SendStream<Bytes>) {
    loop {
        let frame = tokio::select! {
            frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)) => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
        };
        let Some(Ok(frame)) = frame else { break };
        let Ok(mut data) = frame.into_data() else { break };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let Some(Ok(capacity)) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
                return;
            };
            let piece = data.split_to(capacity.min(data.len()));
            if stream.send_data(piece, false).is_err() {
                return;
            }
        }
    }
    // Whether the server still listens makes no difference.
    let _ = stream.send_data(Bytes::new(), true);
}

/// The body of a response.
pub(crate) struct Answer {
    stream: RecvStream,
    _open: Open,
    /// Nobody waits for a window that stays shut.
    _ended: DropGuard,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.stream;
        match std::task::ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                let released = stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(released.map(|()| Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = std::task::ready!(stream.poll_trailers(cx));
                Poll::Ready(trailers.transpose().map(|trailers| {
                    trailers.map(|mut trailers| {
                        trailers.remove(DETAILS);
                        Frame::trailers(trailers)
                    })
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
