//! `etcd.newclient(conf)`: reads the configuration.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mlua::prelude::*;

use super::failure::Invalid;
use super::fields::Fields;
use super::options;
use super::text::excerpt;
use super::value::Value;
use crate::etcd::{
    Address, Balance, CallOptions, Config, Credentials, Level, MAX_REQUEST, Pem, TlsConfig, Unusable, Version,
};

/// Of host names, and of a program.
const LONGEST_NAME: usize = 255;

const SHORTEST_SYNC: Duration = Duration::from_secs(1);

const DNS_PORT: u16 = 53;

/// The configuration in `conf`, or what is wrong with it.
pub(super) fn decode(lua: &Lua, conf: LuaValue) -> Result<Config, Invalid> {
    let mut fields = Fields::configuration(lua, "newclient", conf)?;
    let (endpoints, encrypted) = endpoints(lua, &mut fields)?;
    let tls = tls(&mut fields, &encrypted)?;
    let credentials = credentials(&mut fields)?;
    let options = options::general(&mut fields, CallOptions::DEFAULT)?;
    let deadline = options::deadline(&mut fields)?.flatten();
    let name = name(&mut fields)?;
    let max_request = max_request(&mut fields)?;
    let min_version = min_version(&mut fields)?;
    let balance = balance(&mut fields)?;
    let sync = sync(&mut fields)?;
    let nameservers = nameservers(&mut fields)?;
    let level = level(&mut fields)?;
    let slow = fields.seconds("slow")?;
    let namespace = fields.optional_bytes("namespace")?.unwrap_or_default();
    // The Lua half reads them.
    fields.value("loop")?;
    fields.value("log")?;
    fields.check()?;
    if endpoints.is_empty() {
        return Err(fields.field("endpoints", "must list at least one server"));
    }
    Ok(Config {
        endpoints,
        tls,
        credentials,
        options,
        deadline,
        name,
        max_request,
        min_version,
        balance,
        sync,
        nameservers,
        level,
        slow,
        namespace,
    })
}

/// Reads `name`: what the program calls itself towards the servers.
fn name(conf: &mut Fields<'_>) -> Result<Option<String>, Invalid> {
    let name = conf.optional_text("name")?;
    let is_good = |name: &String| {
        !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    match name {
        Some(name) if !is_good(&name) => Err(conf.field("name", "must be 1 to 255 printable ASCII characters")),
        name => Ok(name),
    }
}

/// Reads `level`: what matters less is not told.
fn level(conf: &mut Fields<'_>) -> Result<Level, Invalid> {
    named(conf, "level", &Level::NAMES, "must be \"error\", \"warn\" or \"info\"")
}

/// Reads `balance`: which server is asked first.
fn balance(conf: &mut Fields<'_>) -> Result<Balance, Invalid> {
    let rule = "must be one of \"sticky\", \"leader\", \"nearest\", \"spread\"";
    named(conf, "balance", &Balance::NAMES, rule)
}

/// Reads what is known by its name, the default where there is none. `rule` says which names there are.
fn named<T: Copy + Default>(
    conf: &mut Fields<'_>,
    field: &'static str,
    names: &[(&str, T)],
    rule: &str,
) -> Result<T, Invalid> {
    let Some(name) = conf.optional_text(field)? else {
        return Ok(T::default());
    };
    let found = names.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| conf.field(field, &format!("{rule}, got '{}'", excerpt(&name))))
}

/// Reads `sync`: how often the cluster is asked for its members.
fn sync(conf: &mut Fields<'_>) -> Result<Option<Duration>, Invalid> {
    match conf.seconds("sync")? {
        Some(interval) if interval < SHORTEST_SYNC => Err(conf.field("sync", "must be at least 1 second")),
        interval => Ok(interval),
    }
}

/// Reads `nameservers`: who is asked for names.
fn nameservers(conf: &mut Fields<'_>) -> Result<Vec<SocketAddr>, Invalid> {
    let texts = conf.texts("nameservers")?;
    let parsed = texts.iter().enumerate().map(|(i, text)| {
        let address = text
            .parse()
            .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT)));
        address.map_err(|_| {
            let problem = format!("must be an IP address, or one with a port, got '{}'", excerpt(text));
            conf.field(&format!("nameservers[{}]", i + 1), &problem)
        })
    });
    parsed.collect()
}

/// Reads `min_version`: `3.5`, or `3.5.1`.
fn min_version(conf: &mut Fields<'_>) -> Result<Option<Version>, Invalid> {
    let text = conf.optional_text("min_version")?;
    let version = text.map(|text| text.parse().map_err(|()| excerpt(&text)));
    version
        .transpose()
        .map_err(|text| conf.field("min_version", &format!("must be a version such as 3.5, got '{text}'")))
}

/// Reads `max_request`, in bytes.
fn max_request(conf: &mut Fields<'_>) -> Result<usize, Invalid> {
    match conf
        .optional_natural("max_request")
        .map_err(|invalid| invalid.with("in bytes"))?
    {
        None => Ok(MAX_REQUEST),
        Some(0) => Err(conf.field("max_request", "must be more than 0 bytes")),
        Some(bytes) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}

/// Reads `endpoints`: the servers, each of them once, and what each item says about encryption.
pub(super) fn endpoints(lua: &Lua, conf: &mut Fields<'_>) -> Result<(Vec<Address>, Vec<Option<bool>>), Invalid> {
    let (mut endpoints, mut encrypted) = (Vec::new(), Vec::new());
    for (i, value) in conf.required_list("endpoints")?.into_iter().enumerate() {
        let value = Value::new(lua, value);
        let read = endpoint(&value);
        value.wipe();
        let (address, says) = read.map_err(|reason| conf.field(&format!("endpoints[{}]", i + 1), &reason))?;
        encrypted.push(says);
        if !endpoints.contains(&address) {
            endpoints.push(address);
        }
    }
    Ok((endpoints, encrypted))
}

fn endpoint(value: &Value) -> Result<(Address, Option<bool>), String> {
    let Value::Text(text) = value else {
        return Err(format!("must be a string, got {}", value.article()));
    };
    let text = String::from_utf8_lossy(text);
    match text.parse() {
        Ok(address) => Ok((address, Address::encryption(&text))),
        Err(reason) if is_private(&text) => Err(format!("is not an address: {reason}")),
        Err(reason) => Err(format!("is not an address: {reason}, got '{}'", excerpt(&text))),
    }
}

/// Could a text that is no address be a password, or a key?
fn is_private(text: &str) -> bool {
    text.contains(['@', '\n']) || text.len() > LONGEST_NAME
}

/// Reads `tls`. Without it, endpoints that say `https` have it with the system's authorities. `encrypted` is what the
/// endpoints say.
fn tls(conf: &mut Fields<'_>, encrypted: &[Option<bool>]) -> Result<Option<TlsConfig>, Invalid> {
    let value = conf.value("tls")?;
    if matches!(value, Value::Nil) {
        return match encrypted.iter().filter(|says| **says == Some(true)).count() {
            0 => Ok(None),
            n if n == encrypted.len() => Ok(Some(TlsConfig::default())),
            _ => Err(conf.field("endpoints", "mixes https with others: all or none are encrypted")),
        };
    }
    if encrypted.contains(&Some(false)) {
        return Err(conf.field("tls", "contradicts an endpoint that says http:// or unix://"));
    }
    let mut fields = conf.nested("tls", &[], value)?;
    let identity = match (pem(&mut fields, "cert")?, pem(&mut fields, "key")?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => fields.missing("key"),
        (None, Some(_)) => fields.missing("cert"),
    };
    let config = TlsConfig {
        ca: pem(&mut fields, "ca")?,
        identity,
        server_name: fields.optional_text("servername")?,
        insecure_skip_verify: fields.flag("insecure_skip_verify")?,
    };
    fields.check()?;
    let checked = config.check();
    checked.map_err(|Unusable { field, reason }| fields.field(field, &format!("cannot be used: {reason}")))?;
    Ok(Some(config))
}

/// A path or PEM text.
fn pem(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Pem>, Invalid> {
    match fields.secret(name)? {
        None => Ok(None),
        Some(text) if text.contains("-----BEGIN") => Ok(Some(Pem::Text(text))),
        Some(text) if text.is_empty() || text.contains(char::is_control) => {
            Err(fields.field(name, "is neither a path nor PEM text"))
        }
        Some(path) => Ok(Some(Pem::Path(path.to_string()))),
    }
}

fn credentials(fields: &mut Fields<'_>) -> Result<Option<Credentials>, Invalid> {
    let (user, password) = (fields.optional_text("user")?, fields.secret("password")?);
    let token = fields.secret("token")?;
    match (user, password, token) {
        (None, None, None) => Ok(None),
        (Some(user), Some(password), None) => Ok(Some(Credentials::Password { user, password })),
        (None, None, Some(token)) => Ok(Some(Credentials::Token(token))),
        (Some(_), None, None) => Ok(fields.missing("password")),
        (None, Some(_), None) => Ok(fields.missing("user")),
        (_, _, Some(_)) => Err(fields.field("token", "excludes 'user' and 'password'")),
    }
}
