//! Requests of the Cluster service that take other fields than their messages have, or are checked here since servers
//! do not: a member with an address that is none has brought clusters down.

use std::net::Ipv6Addr;

use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::text::excerpt;
use crate::etcd::pb::{MemberAddRequest, MemberListRequest, MemberUpdateRequest};

impl Decode for MemberListRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            linearizable: !fields.flag("serializable")?,
        })
    }
}

impl Decode for MemberAddRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            peer_ur_ls: peer_urls(fields)?,
            is_learner: fields.flag("isLearner")?,
        })
    }
}

impl Decode for MemberUpdateRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id: fields.optional_id("ID")?.unwrap_or(0).cast_unsigned(),
            peer_ur_ls: peer_urls(fields)?,
        })
    }
}

/// The addresses of a member for its peers, at least one. In the place of the request there may be the only one.
fn peer_urls(fields: &mut Fields<'_>) -> Result<Vec<String>, Invalid> {
    const NAME: &str = "peerURLs";
    let urls = if fields.is_alone() {
        fields.optional_text(NAME)?.into_iter().collect()
    } else {
        fields.texts(NAME)?
    };
    if urls.is_empty() && !fields.is_incomplete() {
        return Err(fields.field(NAME, "must list at least one URL"));
    }
    for (at, url) in urls.iter().enumerate() {
        if !is_peer_url(url) {
            // It may hold a password, which is not shown.
            let got = if url.contains('@') {
                String::new()
            } else {
                format!(", got '{}'", excerpt(url))
            };
            let text = format!("must be a URL such as http://10.0.0.1:2380{got}");
            let name = if fields.is_alone() {
                NAME.to_owned()
            } else {
                format!("{NAME}[{}]", at + 1)
            };
            return Err(fields.field(&name, &text));
        }
    }
    Ok(urls)
}

/// Scheme, host and port, and no path. Only what Go's parser of URLs takes: a member with another address panics when
/// it applies the change, and again at each start.
fn is_peer_url(url: &str) -> bool {
    let rest = ["http://", "https://", "unix://", "unixs://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let Some((host, port)) = rest.and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        }
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host && is_port
}

#[cfg(test)]
mod tests {
    use super::is_peer_url;

    #[test]
    fn a_peer_is_reached_by_scheme_host_and_port() {
        for url in [
            "http://10.0.0.1:2380",
            "https://etcd-1.example.com:2380",
            "http://[::1]:2380",
        ] {
            assert!(is_peer_url(url), "{url}");
        }
        for url in [
            "",
            "http://",
            "10.0.0.1:2380",
            "http://10.0.0.1",
            "http://10.0.0.1:",
            "http://10.0.0.1:0",
            "http://:2380",
            "http://10.0.0.1:65536",
            "http://10.0.0.1:2380/",
            "http://10.0.0.1:2380/path",
            "ftp://10.0.0.1:2380",
            "http://::1:2380",
            "http://user@10.0.0.1:2380",
            "http://a b:2380",
            " http://10.0.0.1:2380",
            "http://a%zz:2380",
            "http://a{b:2380",
            "http://a\u{7f}b:2380",
            "http://a\\b:2380",
            "http://a^b:2380",
            "http://a|b:2380",
            "http://a`b:2380",
            "http://[zz]:2380",
            "http://[]:2380",
            "http://[::1%25eth0]:2380",
            "http://10.0.0.1:+2380",
            "http://\u{fc}:2380",
        ] {
            assert!(!is_peer_url(url), "{url}");
        }
    }
}
