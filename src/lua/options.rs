//! What every request and the configuration may say beside what is asked for: of attempts, time, and headers.
//!
//! In: the fields of a request or of the configuration. Out: [`CallOptions`].

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use mlua::prelude::*;
use tokio::time::Instant;

use super::call::Call;
use super::failure::Invalid;
use super::fields::{Fields, seconds};
use super::text::excerpt;
use super::value::Value;
use crate::etcd::{Address, CallOptions, Client, Server};

/// Their names.
pub(super) const OPTIONS: [&str; 7] = [
    "timeout",
    "retry",
    "retry_sleep",
    "retry_unknown",
    "headers",
    "deadline",
    "endpoint",
];

/// Headers that say what the client itself says, or what concerns a connection and not a request.
const RESERVED: [&str; 13] = [
    "token",
    "hasleader",
    "content-type",
    "te",
    "user-agent",
    "client-api-version",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
];

/// The bytes of all headers of a request. Servers and proxies begin to refuse them soon after that.
const HEADERS_LIMIT: usize = 8 << 10;

/// A deadline is a number of seconds from now. More than that is a point in time, as it is elsewhere.
const LONGEST_DEADLINE: Duration = Duration::from_secs(100_000_000);

/// The options of a request for the call `C`, over those of its client.
pub(super) fn request<C: Call>(fields: &mut Fields<'_>, client: &Client) -> Result<CallOptions, Invalid> {
    let options = general(fields, C::defaults(client.options()))?;
    if let Some(reason) = C::SHARED.filter(|_| options.headers.is_some()) {
        return Err(fields.field("headers", &format!("cannot be chosen here: {reason}")));
    }
    Ok(CallOptions {
        deadline: match deadline(fields)? {
            Some(limit) => limit.map(|limit| Instant::now() + limit),
            None => options.deadline,
        },
        endpoint: endpoint::<C>(fields, client)?,
        min_revision: if C::READS_KEYS {
            fields.natural("min_revision")?
        } else {
            0
        },
        ..options
    })
}

/// Those that the configuration may have too, over `defaults`.
pub(super) fn general(fields: &mut Fields<'_>, defaults: CallOptions) -> Result<CallOptions, Invalid> {
    let timeout = fields.seconds("timeout")?;
    let retry = fields.optional_natural("retry")?;
    let sleep = fields.milliseconds("retry_sleep")?;
    let retry_unknown = fields.optional_flag("retry_unknown")?;
    Ok(CallOptions {
        timeout: timeout.unwrap_or(defaults.timeout),
        retry: retry.map_or(defaults.retry, |retry| u32::try_from(retry).unwrap_or(u32::MAX)),
        retry_sleep: sleep.unwrap_or(defaults.retry_sleep),
        retry_unknown: retry_unknown.unwrap_or(defaults.retry_unknown),
        headers: headers(fields)?,
        ..defaults
    })
}

/// How long a whole call may take, `None` in it where there is no limit.
pub(super) fn deadline(fields: &mut Fields<'_>) -> Result<Option<Option<Duration>>, Invalid> {
    let value = fields.value("deadline")?;
    if matches!(value, Value::Other(LuaValue::Number(f64::INFINITY))) {
        return Ok(Some(None));
    }
    let problem = match seconds(&value) {
        Ok(None) => return Ok(None),
        Ok(Some(Duration::ZERO)) => "must be more than 0 seconds".to_owned(),
        Ok(Some(limit)) if limit > LONGEST_DEADLINE => {
            "is a number of seconds from now, not a point in time".to_owned()
        }
        Ok(limit) => return Ok(Some(limit)),
        Err(reason) => reason,
    };
    Err(fields.field("deadline", &problem))
}

/// The one of the client's endpoints that is to be asked.
fn endpoint<C: Call>(fields: &mut Fields<'_>, client: &Client) -> Result<Option<Server>, Invalid> {
    let Some(text) = fields.optional_text("endpoint")? else {
        return Ok(None);
    };
    if let Some(reason) = C::SHARED {
        return Err(fields.field("endpoint", &format!("cannot be chosen here: {reason}")));
    }
    let is_said = |says: bool| says == client.is_encrypted();
    let server = text
        .parse::<Address>()
        .ok()
        .filter(|_| Address::encryption(&text).is_none_or(is_said))
        .and_then(|address| client.endpoint(&address));
    match server {
        Some(server) => Ok(Some(server)),
        None => Err(fields.field("endpoint", &format!("must be one of the client's: {client}"))),
    }
}

/// What goes along with each request.
fn headers(fields: &mut Fields<'_>) -> Result<Option<Arc<HeaderMap>>, Invalid> {
    let table = match fields.value("headers")? {
        Value::Nil => return Ok(None),
        Value::Other(LuaValue::Table(table)) => table,
        other => return Err(fields.field("headers", &format!("must be a table, got {}", other.article()))),
    };
    let mut headers = HeaderMap::new();
    let mut size = 0;
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (name, value) = pair.map_err(|_| fields.field("headers", "could not be read"))?;
        let (name, value) = header(&name, &value).map_err(|reason| fields.field("headers", &reason))?;
        size += name.as_str().len() + value.len();
        if size > HEADERS_LIMIT {
            let text = format!("has more than the {HEADERS_LIMIT} bytes that are allowed");
            return Err(fields.field("headers", &text));
        }
        headers.insert(name, value);
    }
    Ok(Some(Arc::new(headers)))
}

/// One header. The value of one whose name ends with `-bin` may be any bytes.
fn header(name: &LuaValue, value: &LuaValue) -> Result<(HeaderName, HeaderValue), String> {
    let LuaValue::String(name) = name else {
        return Err("must have names as its keys".to_owned());
    };
    let text = name.to_string_lossy();
    let shown = excerpt(&text);
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("has '{shown}', which is no header"))?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
        return Err(format!("has '{shown}', which is the client's own business"));
    }
    let LuaValue::String(value) = value else {
        return Err(format!("has '{shown}', whose value is no string"));
    };
    let value = if name.as_str().ends_with("-bin") {
        HeaderValue::try_from(STANDARD_NO_PAD.encode(value.as_bytes()))
    } else {
        let bytes = value.as_bytes();
        let printable = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
        HeaderValue::from_bytes(if printable { &bytes } else { b"\n" })
    };
    let value = value.map_err(|_| format!("has '{shown}', whose value is not printable ASCII"))?;
    Ok((name, value))
}
