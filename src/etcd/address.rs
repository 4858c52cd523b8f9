//! Where a server listens, as a person writes it: `host:port`, `http://host:port`, `https://…`, `[::1]:2379`, `unix:///path`.
//!
//! In: the text from the configuration. Out: an [`Address`], or the reason why the text is none.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// A server's address, checked but not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address (an IPv6 one without its brackets) and a port.
    Tcp {
        /// The name or address to connect to.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Address {
    /// What stands in the `:authority` of each request.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Tcp { .. } => self.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// The short form that messages show: `host:port`, `[v6]:port` or `unix:///path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // It may be a password, so it must not be shown.
        if text.contains('@') {
            return Err("user and password do not belong into an address".to_owned());
        }
        match text.split_once("://") {
            Some(("http" | "https", rest)) => tcp(rest.strip_suffix('/').unwrap_or(rest)),
            Some(("unix", path)) if is_absolute(path) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("unix", _)) => Err("a unix address needs an absolute path".to_owned()),
            Some((scheme, _)) => Err(format!("unknown scheme '{scheme}'")),
            None => tcp(text),
        }
    }
}

fn tcp(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host = match host.strip_prefix('[') {
        // The colon belonged to the address.
        Some(_) if port.contains(']') => return Err("the port is missing".to_owned()),
        Some(v6) => v6
            .strip_suffix(']')
            .filter(|v6| v6.parse::<Ipv6Addr>().is_ok())
            .ok_or("expected [IPv6]:port")?,
        None if host.is_empty() => return Err("the host is missing".to_owned()),
        None if is_name(host) => host,
        None => return Err("expected host:port".to_owned()),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port != 0 => Ok(Address::Tcp {
            host: host.to_owned(),
            port,
        }),
        _ => Err(format!("'{}' is not a port", port.escape_debug())),
    }
}

/// A path that starts at the root and that the system can take.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && path.len() > 1 && !path.contains('\0')
}

/// A host name or an IPv4 address.
fn is_name(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Address, String> {
        Ok(Address::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    #[test]
    fn every_documented_form_is_read() {
        assert_eq!("127.0.0.1:2379".parse(), tcp("127.0.0.1", 2379));
        assert_eq!("etcd-1.example.com:1".parse(), tcp("etcd-1.example.com", 1));
        assert_eq!("http://localhost:2379".parse(), tcp("localhost", 2379));
        assert_eq!("http://localhost:2379/".parse(), tcp("localhost", 2379));
        assert_eq!("[::1]:2379".parse(), tcp("::1", 2379));
        assert_eq!(
            "unix:///run/etcd.sock".parse(),
            Ok(Address::Unix("/run/etcd.sock".into()))
        );
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in ["127.0.0.1:2379", "[::1]:2379", "unix:///run/etcd.sock"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_malformed_address_says_why() {
        for (text, reason) in [
            ("", "it is empty"),
            ("localhost", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("localhost:", "'' is not a port"),
            ("localhost:0", "'0' is not a port"),
            ("localhost:65536", "'65536' is not a port"),
            ("localhost:http", "'http' is not a port"),
            (":2379", "the host is missing"),
            ("a b:2379", "expected host:port"),
            ("localhost:+2379", "'+2379' is not a port"),
            ("[zz]:2379", "expected [IPv6]:port"),
            ("[::1]x:2379", "expected [IPv6]:port"),
            ("::1:2379", "expected host:port"),
            ("http://localhost:2379/v3", "'2379/v3' is not a port"),
            ("unix:///a\0b", "a unix address needs an absolute path"),
            ("ftp://localhost:2379", "unknown scheme 'ftp'"),
            ("unix://relative", "a unix address needs an absolute path"),
            (
                "root:secret@localhost:2379",
                "user and password do not belong into an address",
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(reason.to_owned()), "{text}");
        }
    }
}
