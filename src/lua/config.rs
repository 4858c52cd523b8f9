//! `etcd.newclient(conf)`: reads the configuration.

use mlua::prelude::*;

use super::failure::{Invalid, excerpt};
use super::fields::Fields;
use super::value::Value;
use crate::etcd::{Address, CallOptions, Config, Credentials, Pem, TlsConfig};

/// The configuration in `conf`, or what is wrong with it.
pub(super) fn decode(lua: &Lua, conf: LuaValue) -> Result<Config, Invalid> {
    let mut fields = Fields::new(lua, "newclient", conf)?;
    let listed = fields.list("endpoints")?;
    if listed.is_empty() {
        return Err(fields.field("endpoints", "must list at least one server"));
    }
    let mut endpoints = Vec::with_capacity(listed.len());
    for (i, value) in listed.iter().enumerate() {
        endpoints.push(
            endpoint(Value::new(lua, value.clone())).map_err(|reason| fields.field(&format!("endpoints[{}]", i + 1), &reason))?,
        );
    }
    let tls = tls(&mut fields, &listed)?;
    let credentials = credentials(&mut fields)?;
    let options = fields.options(CallOptions::default())?;
    // The Lua half has read it.
    fields.value("loop")?;
    fields.check()?;
    Ok(Config {
        endpoints,
        tls,
        credentials,
        options,
    })
}

/// Reads `tls`. Without it, endpoints that say `https` have it with the system's authorities.
fn tls(conf: &mut Fields<'_>, endpoints: &[LuaValue]) -> Result<Option<TlsConfig>, Invalid> {
    let scheme = |prefix: &str| {
        let says = |value: &LuaValue| {
            value
                .as_string()
                .is_some_and(|text| text.as_bytes().starts_with(prefix.as_bytes()))
        };
        endpoints.iter().filter(|value| says(value)).count()
    };
    let (https, plain) = (scheme("https://"), scheme("http://") + scheme("unix://"));
    let value = conf.value("tls")?;
    if matches!(value, Value::Nil) {
        return match https {
            0 => Ok(None),
            n if n == endpoints.len() => Ok(Some(TlsConfig::default())),
            _ => Err(conf.field("endpoints", "mixes https with others: all or none are encrypted")),
        };
    }
    if plain > 0 {
        return Err(conf.field("tls", "contradicts an endpoint that says http:// or unix://"));
    }
    let mut fields = conf.nested("tls", value)?;
    let identity = match (pem(&mut fields, "cert")?, pem(&mut fields, "key")?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => return Err(fields.missing("key")),
        (None, Some(_)) => return Err(fields.missing("cert")),
    };
    let config = TlsConfig {
        ca: pem(&mut fields, "ca")?,
        identity,
        server_name: fields.optional_text("servername")?,
        insecure_skip_verify: fields.flag("insecure_skip_verify")?,
    };
    fields.check()?;
    config
        .check()
        .map_err(|reason| conf.field("tls", &format!("cannot be used: {reason}")))?;
    Ok(Some(config))
}

/// A path or PEM text. What can be neither may still be a key, so it is not shown.
fn pem(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Pem>, Invalid> {
    match fields.optional_text(name)? {
        None => Ok(None),
        Some(text) if text.contains("-----BEGIN") => Ok(Some(Pem::Text(text.into()))),
        Some(text) if text.contains(char::is_control) => Err(fields.field(name, "is neither a path nor PEM text")),
        Some(path) => Ok(Some(Pem::Path(path))),
    }
}

fn credentials(fields: &mut Fields<'_>) -> Result<Option<Credentials>, Invalid> {
    let (user, password) = (fields.optional_text("user")?, fields.optional_text("password")?);
    let token = fields.optional_text("token")?;
    match (user, password, token) {
        (None, None, None) => Ok(None),
        (Some(user), Some(password), None) => Ok(Some(Credentials::Password {
            user,
            password: password.into(),
        })),
        (None, None, Some(token)) => Ok(Some(Credentials::Token(token.into()))),
        (Some(_), None, None) => Err(fields.missing("password")),
        (None, Some(_), None) => Err(fields.missing("user")),
        (_, _, Some(_)) => Err(fields.field("token", "excludes 'user' and 'password'")),
    }
}

fn endpoint(value: Value) -> Result<Address, String> {
    let Value::Text(text) = value else {
        return Err(format!("must be a string, got {}", value.article()));
    };
    let text = String::from_utf8_lossy(&text);
    text.parse().map_err(|reason| {
        // It may be a password.
        let got = if text.contains('@') {
            String::new()
        } else {
            format!(", got '{}'", excerpt(&text))
        };
        format!("is not an address: {reason}{got}")
    })
}
