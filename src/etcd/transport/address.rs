//! Where a server listens, as a person writes it: `host:port`, `http://host:port`, `https://…`, `[::1]:2379`,
//! `unix:///path`; or `srv://domain`, where DNS knows that.
//!
//! In: the text from the configuration. Out: an [`Address`], or the reason why the text is none.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
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
    /// Wherever DNS says that the service is served.
    Srv(Service),
}

/// The servers of a cluster, as SRV records name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// In whose domain they are.
    pub domain: String,
    /// Which of several clusters there.
    pub cluster: Option<String>,
}

impl Service {
    /// The name of the records, of servers that are encrypted or of such that are not.
    pub(crate) fn record(&self, is_encrypted: bool) -> String {
        let ssl = if is_encrypted { "-ssl" } else { "" };
        let cluster = self
            .cluster
            .as_ref()
            .map_or_else(String::new, |cluster| format!("-{cluster}"));
        format!("_etcd-client{ssl}{cluster}._tcp.{}", self.domain)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "srv://{}", self.domain)?;
        match &self.cluster {
            Some(cluster) => write!(f, "/{cluster}"),
            None => Ok(()),
        }
    }
}

impl Address {
    /// Does the address `text` say that the connection is encrypted? `None` where it leaves that open.
    pub fn encryption(text: &str) -> Option<bool> {
        match split(text).0?.as_str() {
            "srv" => None,
            scheme => Some(scheme == "https"),
        }
    }

    /// Does it lead to whatever machine the client is on? Of a name that is all that can be said without asking.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
                Err(_) => host == "localhost" || host.ends_with(".localhost"),
            },
            Self::Unix(_) => true,
            Self::Srv(_) => false,
        }
    }

    /// What stands in the `:authority` of each request.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Tcp { .. } => self.to_string(),
            Self::Unix(_) | Self::Srv(_) => "localhost".to_owned(),
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
            Self::Srv(service) => service.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // It may be a password, so it must not be shown.
        if text.contains('@') {
            return Err("user and password belong in the fields of these names".to_owned());
        }
        if text.trim() != text {
            return Err("there is white space around it".to_owned());
        }
        let (scheme, rest) = split(text);
        match scheme.as_deref() {
            None | Some("http" | "https") => tcp(rest),
            Some("unix") if is_absolute(rest) => Ok(Self::Unix(PathBuf::from(rest))),
            Some("unix") => Err("a unix address needs an absolute path".to_owned()),
            Some("srv") => srv(rest),
            Some(_) => Err("its scheme is none of http, https, unix and srv".to_owned()),
        }
    }
}

/// The scheme, in lower case, and what follows.
fn split(text: &str) -> (Option<String>, &str) {
    match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    }
}

fn tcp(text: &str) -> Result<Address, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    for (sign, part) in [
        ('/', "a path"),
        ('?', "a query"),
        ('#', "a fragment"),
        (',', "a second address"),
    ] {
        if text.contains(sign) {
            return Err(format!("{part} has no place in it"));
        }
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host = match host.strip_prefix('[') {
        // The colon belonged to the address.
        Some(_) if port.contains(']') => return Err("the port is missing".to_owned()),
        Some(v6) => v6
            .strip_suffix(']')
            .and_then(|v6| v6.parse::<Ipv6Addr>().ok())
            .ok_or("expected [IPv6]:port")?
            .to_string(),
        None if host.is_empty() => return Err("the host is missing".to_owned()),
        None if is_name(host) => host.to_ascii_lowercase(),
        None if text.parse::<Ipv6Addr>().is_ok() => return Err("expected [IPv6]:port".to_owned()),
        None => return Err("expected host:port".to_owned()),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port != 0 => Ok(Address::Tcp { host, port }),
        _ => Err("the port is no number from 1 to 65535".to_owned()),
    }
}

/// A domain and, behind a slash, the name of a cluster in it.
fn srv(text: &str) -> Result<Address, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (domain, cluster) = match text.split_once('/') {
        Some((domain, cluster)) => (domain, Some(cluster)),
        None => (text, None),
    };
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_empty() || !is_name(domain) || !cluster.is_none_or(|name| !name.is_empty() && is_name(name)) {
        return Err("expected srv://domain or srv://domain/cluster".to_owned());
    }
    Ok(Address::Srv(Service {
        domain: domain.to_ascii_lowercase(),
        cluster: cluster.map(str::to_ascii_lowercase),
    }))
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
        assert_eq!("https://localhost:2379".parse(), tcp("localhost", 2379));
        assert_eq!("[::1]:2379".parse(), tcp("::1", 2379));
        assert_eq!(
            "unix:///run/etcd.sock".parse(),
            Ok(Address::Unix("/run/etcd.sock".into()))
        );
    }

    #[test]
    fn what_leads_to_the_clients_own_machine_is_known() {
        for (text, is_local) in [
            ("localhost:1", true),
            ("a.localhost:1", true),
            ("127.1.2.3:1", true),
            ("0.0.0.0:1", true),
            ("[::1]:1", true),
            ("[::]:1", true),
            ("unix:///s", true),
            ("10.0.0.1:1", false),
            ("localhost.example.com:1", false),
            ("srv://localhost", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), is_local, "{text}");
        }
    }

    #[test]
    fn a_service_has_the_records_that_etcd_gives_it() {
        for (text, encrypted, record) in [
            ("srv://Example.com", false, "_etcd-client._tcp.example.com"),
            ("srv://example.com./", true, "_etcd-client-ssl._tcp.example.com"),
            ("srv://example.com/Blue", false, "_etcd-client-blue._tcp.example.com"),
            ("srv://example.com/blue", true, "_etcd-client-ssl-blue._tcp.example.com"),
        ] {
            let Ok(Address::Srv(service)) = text.parse() else {
                panic!("{text}")
            };
            assert_eq!(service.record(encrypted), record);
        }
    }

    #[test]
    fn spellings_of_one_address_are_the_same() {
        for text in [
            "HTTP://Host:1",
            "http://host:1/",
            "host:1/",
            "HOST:1",
            "Https://hOST:00001/",
        ] {
            assert_eq!(text.parse(), tcp("host", 1), "{text}");
        }
        for text in ["[0:0:0:0:0:0:0:1]:1", "http://[::0001]:1/", "[::1]:1"] {
            assert_eq!(text.parse(), tcp("::1", 1), "{text}");
        }
        assert_eq!("UNIX:///Run/etcd".parse(), Ok(Address::Unix("/Run/etcd".into())));
    }

    #[test]
    fn a_scheme_tells_whether_to_encrypt() {
        for (text, encrypted) in [
            ("HTTPS://h:1", Some(true)),
            ("https://h:1/", Some(true)),
            ("Http://h:1", Some(false)),
            ("unix:///s", Some(false)),
            ("h:1", None),
            ("srv://h", None),
        ] {
            assert_eq!(Address::encryption(text), encrypted, "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in [
            "127.0.0.1:2379",
            "[::1]:2379",
            "unix:///run/etcd.sock",
            "srv://example.com",
            "srv://example.com/blue",
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_malformed_address_says_why() {
        for (text, reason) in [
            ("", "it is empty"),
            ("localhost", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("localhost:", "the port is no number from 1 to 65535"),
            ("localhost:0", "the port is no number from 1 to 65535"),
            ("localhost:65536", "the port is no number from 1 to 65535"),
            ("localhost:http", "the port is no number from 1 to 65535"),
            (":2379", "the host is missing"),
            ("a b:2379", "expected host:port"),
            ("localhost:+2379", "the port is no number from 1 to 65535"),
            ("[zz]:2379", "expected [IPv6]:port"),
            ("[::1]x:2379", "expected [IPv6]:port"),
            ("::1:2379", "expected [IPv6]:port"),
            (" localhost:2379", "there is white space around it"),
            ("localhost:2379\n", "there is white space around it"),
            ("http://localhost:2379/v3", "a path has no place in it"),
            ("localhost:2379//", "a path has no place in it"),
            ("localhost:2379?a", "a query has no place in it"),
            ("localhost:2379#a", "a fragment has no place in it"),
            ("http//localhost:2379", "a path has no place in it"),
            ("a:1,b:2", "a second address has no place in it"),
            ("http://localhost/", "the port is missing"),
            ("unix:///a\0b", "a unix address needs an absolute path"),
            (
                "ftp://localhost:2379",
                "its scheme is none of http, https, unix and srv",
            ),
            ("srv://", "expected srv://domain or srv://domain/cluster"),
            (
                "srv://example.com:2379",
                "expected srv://domain or srv://domain/cluster",
            ),
            ("srv://example.com/a/b", "expected srv://domain or srv://domain/cluster"),
            ("unix://relative", "a unix address needs an absolute path"),
            (
                "root:secret@localhost:2379",
                "user and password belong in the fields of these names",
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(reason.to_owned()), "{text}");
        }
    }
}
