//! The life of one unary call: which server, which deadline, whether to try again.
//!
//! In: a message, what kind of call it is, and the method of the service. Out: the response, or the error of the last
//! attempt. Runs on the runtime; it ends by itself, since every attempt has a deadline and their number a limit.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::backoff;
use super::cause::{Cause, Retry};
use super::clock::Moment;
use super::config::{Balance, CallOptions};
use super::endpoints::Route;
use super::error::{Applied, Attempts, Code, Error, Result};
use super::failure::Failure;
use super::journal::{Level, Record};
use super::pb::{self, Response, ResponseHeader};
use super::received::Receive;
use super::servers::{Authorized, Servers};
use super::stats::{Method, Running};
use super::transport::deadline::Deadline;
use super::transport::grpc::{HEAD, HalfClose, pack, unary_message};
use super::transport::http2::Body;
use super::transport::liveness::DOUBT_LIMIT;
use super::wire::{Fields, Value};

/// How often in a row something may go out again at once to the same server without getting any further: a token can
/// wear out between two attempts, and a connection can close, hardly more often.
pub(crate) const REPAIRS: u32 = 3;

/// How long a server may take to be reached where there are others, or by a stream that keeps trying.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What a repetition of a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads the cluster's agreed state: it may be repeated.
    Read,
    /// It reads what one member has, and wants a response even from one without a leader.
    SerializableRead,
    /// It writes what a repetition writes no second time.
    Idempotent,
    /// It renews a lease: idempotent, on a stream of one request, and its time of sending counts.
    Renewal,
    /// It grants a lease under an id of the caller's: at most once, and its time of sending counts.
    Grant,
    /// It writes: at most once.
    Write,
}

impl Kind {
    /// Is it known to do no harm when the call goes out again after `failure`?
    fn repeats(self, failure: &Failure, options: &CallOptions) -> bool {
        let once = matches!(self, Self::Write | Self::Grant);
        !once || options.retry_unknown || failure.error.applied == Applied::No
    }

    pub(crate) const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::SerializableRead)
    }

    fn half_close(self) -> HalfClose {
        match self {
            Self::Renewal => HalfClose::Answer,
            _ => HalfClose::Request,
        }
    }

    /// Does it matter when it was sent? The clock has its price.
    fn is_timed(self) -> bool {
        matches!(self, Self::Idempotent | Self::Renewal | Self::Grant)
    }
}

/// The answer to a call.
pub(crate) struct Answered<R> {
    pub(crate) response: R,
    /// When the request for it was sent; not later than that for kinds of which it does not matter.
    pub(crate) sent: Moment,
    /// May an earlier attempt have been applied as well? Then a comparison may have failed for that.
    pub(crate) earlier: Applied,
}

/// How a call has succeeded: as [`Answered`] has it, and after how many attempts.
struct Success {
    sent: Moment,
    earlier: Applied,
    attempts: u32,
}

/// The deadline of an attempt that begins now.
pub(crate) fn deadline_of(options: &CallOptions) -> Deadline {
    let Deadline { began, end } = Deadline::within(options.timeout);
    let end = options.deadline.map_or(end, |deadline| end.min(deadline));
    Deadline { began, end }
}

/// Does the deadline of the call leave no time for another attempt after a pause?
fn is_last(options: &CallOptions, pause: Duration) -> bool {
    options
        .deadline
        .is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= pause)
}

/// Where a response goes. The life of a call is one piece of code for all of them.
trait Slot: Send {
    /// The bytes that it may have.
    fn limit(&self) -> usize;

    /// Takes it, and says who responded.
    fn fill(&mut self, message: Bytes) -> Result<ResponseHeader, Cause>;
}

impl<R: Receive + Send> Slot for R {
    fn limit(&self) -> usize {
        R::Message::LIMIT
    }

    fn fill(&mut self, message: Bytes) -> Result<ResponseHeader, Cause> {
        *self = R::receive(message)?;
        Ok(self.head())
    }
}

/// What a call has to say.
struct Request<'a> {
    kind: Kind,
    method: Method,
    message: Body,
    /// The bytes of the message itself.
    size: usize,
    options: &'a CallOptions,
}

impl Request<'_> {
    /// May any member answer it, each as well as another?
    fn goes_round(&self) -> bool {
        self.kind == Kind::SerializableRead && self.method.name == "get" && self.options.endpoint.is_none()
    }

    /// What is told of it: its key, if it has one, and no value.
    fn record(&self, event: &'static str, message: &str) -> Record {
        let record = Record {
            call: Some(self.method.name),
            ..Record::new(event, message)
        };
        match self.key() {
            Some(key) => record.about(key),
            None => record,
        }
    }

    /// The first field of its message, where that is a key.
    fn key(&self) -> Option<&[u8]> {
        if !matches!(self.method.name, "put" | "get" | "delete") {
            return None;
        }
        match Fields::new(self.message.bytes.get(HEAD..)?).next()? {
            (1, Value::Bytes(key)) => Some(key),
            _ => None,
        }
    }
}

impl Servers {
    /// Calls `method` with `message` until it responds, fails for good, or has been tried often enough.
    pub(crate) fn call<R: Receive + Default + Send>(
        &self,
        kind: Kind,
        method: Method,
        message: impl pb::Request,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Answered<R>>> {
        // Packed now, since a future has room for all that it was given as long as it lives.
        let request = Request {
            kind,
            method,
            message: pack(&message),
            size: message.encoded_len(),
            options,
        };
        async move {
            let mut response = R::default();
            let success = self.run(&request, &mut response).await?;
            Ok(Answered {
                response,
                sent: success.sent,
                earlier: success.earlier,
            })
        }
    }

    /// Is a request of so many bytes not longer than any server would take?
    pub(crate) fn allows(&self, bytes: usize) -> Result<()> {
        let limit = self.max_request;
        if bytes <= limit {
            return Ok(());
        }
        let text = format!("the request has {bytes} bytes, more than the {limit} of the client's 'max_request'");
        Err(Error::new(Code::ResourceExhausted, text))
    }

    /// The pause before another attempt, since the last failed with `error`. Fails where the deadline leaves no time
    /// for it, or the client is closed meanwhile.
    pub(crate) async fn pause(&self, pause: Duration, options: &CallOptions, error: Error) -> Result<()> {
        if is_last(options, pause) {
            return Err(late(error));
        } else if pause.is_zero() {
            return Ok(());
        }
        match timeout(pause, self.closed.cancelled()).await {
            Ok(()) => Err(Error::closed()),
            Err(_) => Ok(()),
        }
    }

    async fn run(&self, request: &Request<'_>, response: &mut dyn Slot) -> Result<Success> {
        let deadline = deadline_of(request.options);
        let running = self.stats.call(request.method, deadline.began);
        match self.run_counted(request, response, deadline, &running).await {
            Ok(success) => {
                let took = running.succeed();
                if request.options.endpoint.is_none() {
                    self.stats.up();
                }
                self.stats.took(took, || {
                    let route = self.endpoints.route(request.options.only());
                    Record {
                        attempts: Some(success.attempts),
                        ..request.record("slow", "the call took long").at(&route.endpoint().name)
                    }
                });
                Ok(success)
            }
            Err(error) => {
                if error.applied == Applied::Maybe {
                    running.unknown.one();
                }
                let took = running.fail(&error);
                self.stats.took(took, || Record {
                    code: Some(error.code),
                    endpoint: error.endpoint.clone(),
                    attempts: error.attempts.as_ref().map(|attempts| attempts.count),
                    ..request.record("slow", &error.message)
                });
                Err(error)
            }
        }
    }

    async fn run_counted(
        &self,
        request: &Request<'_>,
        response: &mut dyn Slot,
        mut deadline: Deadline,
        running: &Running<'_>,
    ) -> Result<Success> {
        let Request { kind, options, .. } = *request;
        self.allows(request.size)?;
        // A call of several steps may come here late.
        if is_last(options, Duration::ZERO) {
            let text = "the deadline was over before anything was sent";
            return Err(Error::new(Code::DeadlineExceeded, text));
        }
        let mut route = match self.balance {
            Balance::Spread if request.goes_round() => self.endpoints.round(),
            _ => self.endpoints.route(options.only()),
        };
        let began = deadline.began;
        let (mut retries, mut repairs) = (0, 0);
        let mut past = Past::default();
        loop {
            let failure = match self.attempt(&mut route, request, deadline, response).await {
                Ok(sent) => {
                    route.keep();
                    return Ok(Success {
                        sent,
                        earlier: past.applied(kind),
                        attempts: past.count() + 1,
                    });
                }
                Err(failure) => failure,
            };
            past.note(&failure);
            match failure.retry {
                // A server that says no has answered, too.
                Retry::Never => route.keep(),
                // Also if this call ends here, for a write is not repeated.
                Retry::Elsewhere | Retry::Later => route.leave(),
                Retry::Login | Retry::Reconnect => {}
            }
            if !kind.repeats(&failure, options) {
                return Err(past.error(request, failure.error, began));
            }
            if matches!(failure.retry, Retry::Login | Retry::Reconnect)
                && (repairs < REPAIRS || failure.progress && failure.retry == Retry::Reconnect)
                && Instant::now() < deadline.end
            {
                repairs = if failure.progress { 0 } else { repairs + 1 };
                past.repaired();
                match failure.retry {
                    Retry::Login => running.login.one(),
                    _ => running.reconnect.one(),
                }
                route.refresh();
                continue;
            }
            repairs = 0;
            let goes_on = matches!(failure.retry, Retry::Elsewhere | Retry::Reconnect | Retry::Later);
            let pause = if goes_on && route.advance() {
                self.stats.journal.tell(Level::Info, || Record {
                    call: Some(request.method.name),
                    ..Record::of("failover", &failure.error)
                });
                None
            } else if goes_on && past.hope {
                if past.unreached && options.endpoint.is_none() {
                    self.stats.down(&failure.error);
                }
                if retries == options.retry {
                    return Err(past.error(request, failure.error, began));
                }
                retries += 1;
                Some(backoff::at_least(options.retry_sleep))
            } else {
                return Err(past.error(request, failure.error, began));
            };
            if let Err(error) = self.pause(pause.unwrap_or_default(), options, failure.error).await {
                return Err(past.error(request, error, began));
            }
            match pause {
                Some(_) => running.retry.one(),
                None => running.failover.one(),
            }
            // There may be others since.
            route.refresh();
            deadline = deadline_of(options);
        }
    }

    /// One attempt at one server: connects and logs in where that is needed, then sends the request.
    async fn attempt(
        &self,
        route: &mut Route<'_>,
        request: &Request<'_>,
        deadline: Deadline,
        response: &mut dyn Slot,
    ) -> Result<Moment, Failure> {
        let authorized = match self.ready(route.endpoint(), deadline.began) {
            Some(authorized) => authorized,
            // Boxed, since it happens once and would make every call larger.
            None => Box::pin(self.get_ready(route, request.options, deadline)).await?,
        };
        let endpoint = route.endpoint();
        let mut sent = Moment::not_after(deadline.began);
        let mut left = false;
        let message = || {
            left = true;
            if request.kind.is_timed() {
                sent = Moment::now();
            }
            let leader = request.kind != Kind::SerializableRead;
            let metadata = authorized.metadata(leader, request.options.headers.as_deref());
            (metadata, request.message.clone())
        };
        let connection = &authorized.connection;
        let answers = connection.answers();
        let (method, half_close) = (request.method.path, request.kind.half_close());
        let answer = unary_message(connection, method, half_close, deadline, response.limit(), message).await;
        let cause = match answer.and_then(|message| response.fill(message)) {
            Ok(header) => {
                self.endpoints.recognise(endpoint, &header)?;
                return Ok(sent);
            }
            // Its connections end with the client.
            Err(_) if self.closed.is_cancelled() => {
                return Err(Failure::closed(if left { Applied::Maybe } else { Applied::No }));
            }
            Err(cause) => cause,
        };
        if let Cause::Timeout(timeout) = cause {
            connection.doubt(timeout);
            // A short deadline says nothing of the member, nor does one where other calls were answered meanwhile.
            if timeout < connection.patience(DOUBT_LIMIT) || connection.answers() > answers {
                return Err(Failure::new(&endpoint.name, &cause));
            }
        }
        Err(self.judge(endpoint, &authorized, &cause, route.is_exhausted()))
    }

    /// Connects and logs in.
    async fn get_ready(
        &self,
        route: &mut Route<'_>,
        options: &CallOptions,
        deadline: Deadline,
    ) -> Result<Authorized, Failure> {
        if route.is_unresolved() {
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return Err(Failure::closed(Applied::No)),
                _ = timeout_at(deadline.end, self.resolve(route)) => {}
            }
        }
        let endpoint = route.endpoint();
        let whole = deadline.length();
        let limit = if route.is_single() {
            whole
        } else {
            whole.min(CONNECT_LIMIT)
        };
        // Nobody waits for a server that has just refused while there are others, or for longer than a pause lasts.
        let patience = Instant::now() + limit.min(options.retry_sleep);
        let patience = route.is_exhausted().then_some(patience);
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Failure::closed(Applied::No)),
            ready = timeout_at(deadline.end, self.connect_and_login(endpoint, limit, patience)) => {
                ready.unwrap_or_else(|_| Err(Failure::new(&endpoint.name, &Cause::ConnectTimeout(whole))))
            }
        }
    }
}

/// The error of a call that has no time left, whose last attempt failed with `error`.
fn late(error: Error) -> Error {
    if error.code == Code::DeadlineExceeded {
        return error;
    }
    let text = format!(
        "the deadline leaves no time for another attempt after {}: {}",
        error.code.name(),
        error.message
    );
    Error {
        code: Code::DeadlineExceeded,
        message: text,
        from_server: false,
        ..error
    }
}

/// The attempts of a call that have failed.
#[derive(Default)]
struct Past {
    /// Empty where there are none.
    attempts: Option<Box<Attempts>>,
    /// What one attempt may have done, the refusal of another does not undo.
    maybe: bool,
    /// Is there a server that may yet respond?
    hope: bool,
    /// Has there been no server at all, of those that were asked?
    unreached: bool,
}

impl Past {
    fn note(&mut self, failure: &Failure) {
        self.maybe |= failure.error.applied == Applied::Maybe;
        self.hope |= failure.retry.is_hopeful();
        self.unreached = failure.unreached && (self.unreached || self.attempts.is_none());
        // What ends with the client was no attempt at a server.
        if failure.error.endpoint.is_some() {
            self.attempts.get_or_insert_default().note(&failure.error);
        }
    }

    /// The attempt that failed last goes on at once, and counts as none.
    fn repaired(&mut self) {
        if let Some(attempts) = &mut self.attempts {
            attempts.count -= 1;
        }
    }

    /// How many there were.
    fn count(&self) -> u32 {
        self.attempts.as_ref().map_or(0, |attempts| attempts.count)
    }

    fn applied(&self, kind: Kind) -> Applied {
        if self.maybe && !kind.reads() {
            Applied::Maybe
        } else {
            Applied::No
        }
    }

    /// The error of the call, whose last attempt failed with `error`.
    fn error(self, request: &Request<'_>, mut error: Error, began: Instant) -> Error {
        let applied = self.applied(request.kind);
        // Not a proxy that knows no such page.
        if error.code == Code::Unimplemented
            && error.from_server
            && let Some(release) = pb::since(request.method.path)
        {
            error.message += &format!(" (etcd has it from {release} on)");
            error.from_server = false;
        }
        let attempts = self.attempts.map(|mut attempts| {
            attempts.elapsed = began.elapsed();
            attempts
        });
        Error {
            applied,
            attempts,
            ..error
        }
    }
}
