//! Answers of a server, each through the whole client: HTTP/2, gRPC, protobuf, judgement of the failure.
//!
//! In: a byte that chooses the call, one for the trailers, one for the framing, then the body. Out: a panic when the
//! call does not come to an end. One client and one connection serve all runs, for as long as that lives; only a login
//! takes a new client.
#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use libfuzzer_sys::fuzz_target;
use silly_etcd::etcd::pb::*;
use silly_etcd::etcd::{CallOptions, Client, Config, Credentials, RPCS, Readable, Unary};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// What the server says next.
#[derive(Default, Clone)]
struct Answer {
    body: Bytes,
    trailers: Option<HeaderMap>,
}

struct Fixture {
    runtime: Runtime,
    config: Config,
    client: Client,
    answer: Arc<Mutex<Answer>>,
}

thread_local! {
    static FIXTURE: RefCell<Option<Fixture>> = const { RefCell::new(None) };
}

const OPTIONS: CallOptions = CallOptions {
    timeout: Duration::from_millis(100),
    retry: 0,
    retry_sleep: Duration::ZERO,
    ..CallOptions::DEFAULT
};

macro_rules! call_rows {
    ($($service:ident of $handle:ident, $prefix:literal {
        $($(#[$doc:meta])* $name:ident $required:tt { $request:ident $($row:tt)* })*
    })*) => {
        /// Makes the call of this row of the table.
        async fn call_row(client: &Client, row: usize) {
            let mut rows = 0..;
            $($(
                if rows.next() == Some(row) {
                    return drop($request::default().run(client.clone(), OPTIONS).await);
                }
            )*)*
        }
    };
}

silly_etcd::rpcs!(call_rows);

impl Fixture {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = Arc::<Mutex<Answer>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        runtime.spawn(listen(listener, answer.clone()));
        let config = Config {
            options: OPTIONS,
            ..Config::new(vec![address])
        };
        let client = Client::new(config.clone());
        Self {
            runtime,
            config,
            client,
            answer,
        }
    }

    fn run(&self, data: &[u8]) {
        let [call, trailers, framing, body @ ..] = data else {
            return;
        };
        *self.answer.lock().unwrap() = Answer {
            body: framed(*framing, body),
            trailers: status(*trailers, body),
        };
        let call = async { timeout(Duration::from_secs(20), self.ask(*call)).await };
        self.runtime.block_on(call).expect("the call has no end");
    }

    async fn ask(&self, call: u8) {
        let (client, o) = (&self.client, &OPTIONS);
        let call = usize::from(call) % (RPCS.len() + 5);
        if call < RPCS.len() {
            call_row(client, call).await;
            if RPCS[call].name == "get" {
                drop(client.get_received(RangeRequest::default(), o).await);
            }
            return;
        }
        match call - RPCS.len() {
            0 => drop(client.txn(TxnRequest::default(), o).await),
            1 => drop(client.grant(LeaseGrantRequest { ttl: 5, id: 7 }, false, o).await),
            2 => drop(client.keepalive(LeaseKeepAliveRequest { id: 7 }, None, o).await),
            3 => {
                let request = WatchCreateRequest {
                    start_revision: 1,
                    ..WatchCreateRequest::default()
                };
                if let Ok(watcher) = client.watch(request, o).await {
                    let _ = timeout(Duration::from_millis(1), watcher.read()).await;
                }
            }
            _ => {
                let password = String::new().into();
                let credentials = Some(Credentials::Password {
                    user: String::new(),
                    password,
                });
                let client = Client::new(Config {
                    credentials,
                    ..self.config.clone()
                });
                drop(client.get(RangeRequest::default(), o).await);
            }
        }
    }
}

/// The body as it is, or as one gRPC message, or as two, or with a wrong length.
fn framed(framing: u8, body: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    let mut message = |body: &[u8], length: usize| {
        framed.put_u8(u8::from(framing > 250));
        framed.put_u32(length as u32);
        framed.put_slice(body);
    };
    match framing % 8 {
        0 => return Bytes::copy_from_slice(body),
        1 => {
            let (one, two) = body.split_at(body.len() / 2);
            message(one, one.len());
            message(two, two.len());
        }
        2 => message(body, body.len() + usize::from(framing)),
        _ => message(body, body.len()),
    }
    framed.freeze()
}

/// Most answers are good ones. The rest have odd trailers, or none.
fn status(choice: u8, text: &[u8]) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    let code = match choice {
        0..200 => "0".to_owned(),
        200..210 => return None,
        _ => (i32::from(choice) - 215).to_string(),
    };
    trailers.insert("grpc-status", HeaderValue::from_str(&code).ok()?);
    if let Ok(text) = HeaderValue::from_bytes(text) {
        trailers.insert("grpc-message", text);
    }
    Some(trailers)
}

async fn listen(listener: TcpListener, answer: Arc<Mutex<Answer>>) -> Infallible {
    loop {
        if let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(serve(peer, answer.clone()));
        }
    }
}

async fn serve(peer: TcpStream, answer: Arc<Mutex<Answer>>) -> Result<(), h2::Error> {
    let _ = peer.set_nodelay(true);
    let mut connection = h2::server::handshake(peer).await?;
    while let Some(request) = connection.accept().await {
        let (_, respond) = request?;
        let answer = answer.lock().unwrap().clone();
        let _ = reply(respond, answer);
    }
    Ok(())
}

fn reply(mut respond: SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(answer.body, answer.trailers.is_none())?;
    if let Some(trailers) = answer.trailers {
        stream.send_trailers(trailers)?;
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    FIXTURE.with_borrow_mut(|fixture| fixture.get_or_insert_with(Fixture::new).run(data));
});
