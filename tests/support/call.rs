//! One request as a server sees it.

use std::future::poll_fn;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use prost::Message;

use super::frames;
use super::server::Wire;

/// A request, and the means to answer it. Dropped unfinished it is reset.
pub(crate) struct Call {
    /// The server that was asked.
    pub(crate) server: usize,
    /// The last part of the path.
    pub(crate) method: String,
    /// How many requests came before it, to any of the servers.
    pub(crate) number: usize,
    /// The id of its HTTP/2 stream.
    pub(crate) stream: u32,
    pub(crate) metadata: HeaderMap,
    pub(crate) wire: Wire,
    requests: RecvStream,
    buffer: BytesMut,
    respond: SendResponse<Bytes>,
    answer: Option<SendStream<Bytes>>,
}

impl Call {
    pub(super) fn new(
        server: usize,
        number: usize,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        wire: Wire,
    ) -> Self {
        let (head, requests) = request.into_parts();
        Self {
            server,
            method: head.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
            number,
            stream: respond.stream_id().as_u32(),
            metadata: head.headers,
            wire,
            requests,
            buffer: BytesMut::new(),
            respond,
            answer: None,
        }
    }

    /// The next message of the client; `None` when it has sent all or given up.
    pub(crate) async fn request<Q: Message + Default>(&mut self) -> Option<Q> {
        loop {
            if let Some((head, body)) = self.buffer.split_at_checked(5) {
                let length = (&head[1..]).get_u32() as usize;
                if body.len() >= length {
                    let message = self.buffer.split_to(5 + length).split_off(5);
                    return Some(Q::decode(message).unwrap());
                }
            }
            let data = self.requests.data().await?.ok()?;
            self.requests.flow_control().release_capacity(data.len()).ok()?;
            self.buffer.extend_from_slice(&data);
        }
    }

    /// Waits until the client sends no more, and says whether it ended its half in good order.
    pub(crate) async fn ended(&mut self) -> bool {
        loop {
            match self.requests.data().await {
                Some(Ok(_)) => {}
                end => return end.is_none(),
            }
        }
    }

    /// Waits until the client gives this request up, and says with which reason.
    pub(crate) async fn abandoned(&mut self) -> Option<Reason> {
        let reason = match &mut self.answer {
            Some(answer) => poll_fn(|cx| answer.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        reason.ok()
    }

    /// Begins the answer, unless it has begun.
    pub(crate) fn headers(&mut self) -> &mut SendStream<Bytes> {
        self.respond(200)
    }

    /// The same with an HTTP status.
    pub(crate) fn respond(&mut self, status: u16) -> &mut SendStream<Bytes> {
        let begin = || self.respond.send_response(response(status), false).unwrap();
        self.answer.get_or_insert_with(begin)
    }

    /// Begins a page of plain HTTP.
    pub(crate) fn page(&mut self, status: u16) -> &mut SendStream<Bytes> {
        let page = Response::builder().status(status).header("content-type", "text/html");
        let begun = self.respond.send_response(page.body(()).unwrap(), false).unwrap();
        self.answer.insert(begun)
    }

    /// Begins the answer with one header more.
    pub(crate) fn header(&mut self, name: &'static str, value: &str) {
        let mut response = response(200);
        response.headers_mut().insert(name, value.parse().unwrap());
        self.answer = Some(self.respond.send_response(response, false).unwrap());
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &impl Message) {
        self.body(frames::message(message));
    }

    /// Sends a piece of the body.
    pub(crate) fn body(&mut self, bytes: impl Into<Bytes>) {
        self.headers().send_data(bytes.into(), false).unwrap();
    }

    /// Ends the answer.
    pub(crate) fn finish(&mut self, code: &str, text: &str) {
        let mut status = HeaderMap::new();
        status.insert("grpc-status", code.parse().unwrap());
        status.insert("grpc-message", text.parse().unwrap());
        self.trailers(status);
    }

    /// Ends the answer with these trailers, which are its headers too if it has not begun.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) {
        match &mut self.answer {
            Some(answer) => answer.send_trailers(trailers).unwrap(),
            None => {
                let mut response = response(200);
                response.headers_mut().extend(trailers);
                self.answer = Some(self.respond.send_response(response, true).unwrap());
            }
        }
    }

    /// Answers with this message.
    pub(crate) fn reply(&mut self, message: &impl Message) {
        self.send(message);
        self.finish("0", "");
    }

    /// Answers with RST_STREAM.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match &mut self.answer {
            Some(answer) => answer.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

fn response(status: u16) -> Response<()> {
    let response = Response::builder().status(status);
    response.header("content-type", "application/grpc").body(()).unwrap()
}
