//! What somebody may have meant by a field that is unknown: its name in other clients and tools, or a slip of the pen.
//!
//! In: the name, and those that are known where it stands. Out: a remark for the message, which gives the unit where
//! the other name had another one.

/// What others call a field, in lower case, without `_` and `-`; the field, or one that is known where the remark
/// holds; and the remark, where it is not just the field's name.
const ELSEWHERE: &[(&[&str], &str, Option<&str>)] = &[
    (
        &[
            "host",
            "hosts",
            "httphost",
            "server",
            "servers",
            "address",
            "addresses",
            "addr",
            "addrs",
            "url",
            "urls",
            "node",
            "nodes",
            "ip",
            "port",
        ],
        "endpoints",
        Some("did you mean 'endpoints', a list such as { \"127.0.0.1:2379\" }?"),
    ),
    (&["username", "name", "login"], "user", None),
    (&["pass", "passwd", "pwd"], "password", None),
    (&["authtoken", "jwt", "bearer"], "token", None),
    (&["ssl"], "tls", None),
    (
        &[
            "ca",
            "cafile",
            "cacert",
            "cert",
            "certfile",
            "sslcertpath",
            "key",
            "keyfile",
            "sslkeypath",
            "servername",
            "sni",
            "insecureskipverify",
            "insecure",
            "verify",
            "sslverify",
        ],
        "tls",
        Some("it belongs in 'tls', a table with ca, cert, key, servername, insecure_skip_verify"),
    ),
    (&["cafile", "cacert", "capath", "rootca", "trustedcafile"], "ca", None),
    (&["certfile", "certpath", "certificate"], "cert", None),
    (&["keyfile", "keypath", "privatekey"], "key", None),
    (&["sni", "host", "hostname", "name"], "servername", None),
    (
        &["insecure", "skipverify", "verify", "sslverify"],
        "insecure_skip_verify",
        None,
    ),
    (&["eventloop", "scheduler"], "loop", None),
    (
        &[
            "dialtimeout",
            "connecttimeout",
            "requesttimeout",
            "readtimeout",
            "timeoutms",
        ],
        "timeout",
        Some("did you mean 'timeout', in seconds?"),
    ),
    (
        &["retries", "maxretries", "retrytimes", "attempts", "maxattempts"],
        "retry",
        None,
    ),
    (
        &["retrydelay", "retryinterval", "retrywait", "backoff"],
        "retry_sleep",
        Some("did you mean 'retry_sleep', in milliseconds?"),
    ),
    (&["k"], "key", None),
    (&["v", "val", "data"], "value", None),
    (&["recursive", "isprefix", "dir"], "prefix", None),
    (&["end", "keyend", "endkey", "stop"], "range_end", None),
    (&["rev", "startrev", "fromrevision", "since"], "revision", None),
    (&["sort", "order"], "sort_order", None),
    (&["sortby", "orderby"], "sort_target", None),
    (
        &["linearizable"],
        "serializable",
        Some("reads are, unless 'serializable' is true"),
    ),
    (&["count"], "count_only", None),
    (
        &["values"],
        "keys_only",
        Some("only `client:get` takes it, outside of a transaction"),
    ),
    (&["prev", "previous", "prevvalue", "old"], "prev_kv", None),
    (
        &["ttl", "expire", "expires"],
        "lease",
        Some("a key lives as long as its 'lease', which `client:grant` makes"),
    ),
    (&["leaseid"], "lease", None),
    (&["lease", "leaseid"], "ID", None),
    (&["header"], "ID", Some("an answer is no request: give its 'ID' alone")),
    (
        &["seconds", "duration", "expire", "expires"],
        "TTL",
        Some("did you mean 'TTL', in seconds?"),
    ),
    (&["renew", "refresh", "autorenew"], "keepalive", None),
    (&["if", "cmp", "compares", "conditions"], "compare", None),
    (&["then", "ok", "onsuccess"], "success", None),
    (&["else", "orelse", "onfailure"], "failure", None),
    (&["op", "operator", "cmp", "compare"], "result", None),
    (&["set"], "put", None),
    (&["range"], "get", None),
    (&["del", "remove", "deleterange"], "delete", None),
    (
        &["wait"],
        "progress_notify",
        Some("`read` of the watch waits, for as many seconds as it is given"),
    ),
    (
        &["limit"],
        "progress_notify",
        Some("a watch has no limit: close it when it has brought enough"),
    ),
    (
        &["watchid", "fragment"],
        "progress_notify",
        Some("the client sees to that itself"),
    ),
];

/// A remark on `name`, if it looks like something that is known, or is known elsewhere.
pub(super) fn of(name: &str, known: &[&'static str]) -> Option<String> {
    let plain = name.to_lowercase().replace(['_', '-'], "");
    if let Some(field) = known
        .iter()
        .find(|field| field.to_lowercase().replace('_', "") == plain)
    {
        return Some(meant(field));
    }
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(names, field, _)| names.contains(&plain.as_str()) && known.contains(field));
    match elsewhere {
        Some((_, _, Some(remark))) => Some((*remark).to_owned()),
        Some((_, field, None)) => Some(meant(field)),
        None => nearest(name, known).map(meant),
    }
}

/// The remark that `field` was meant.
pub(super) fn meant(field: &str) -> String {
    format!("did you mean '{field}'?")
}

/// The known name that differs least, if that is not much.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let distance = |known: &&str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let alike = known
        .iter()
        .copied()
        .filter(|known| known.len().abs_diff(name.len()) <= 3);
    let nearest = alike.min_by_key(distance)?;
    let distance = distance(&nearest);
    (distance <= 1 || distance <= 3 && distance * 2 <= name.len()).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_can_be_found() {
        for (names, field, _) in ELSEWHERE {
            for name in *names {
                assert!(of(name, &[field]).is_some(), "{name}");
                assert!(of(&name.to_uppercase(), &[field]).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_known_elsewhere_is_told_where_its_field_is_known() {
        assert_eq!(
            of("http_host", &["user", "endpoints"]).as_deref(),
            Some("did you mean 'endpoints', a list such as { \"127.0.0.1:2379\" }?")
        );
        assert_eq!(of("http_host", &["key", "value"]), None);
        assert_eq!(of("lease", &["ID", "timeout"]), Some(meant("ID")));
    }

    #[test]
    fn a_slip_is_told_where_it_is_small() {
        let known = ["key", "prefix", "fromkey", "TTL"];
        for (name, meant) in [
            ("prefx", Some("prefix")),
            ("Prefix", Some("prefix")),
            ("ttl", Some("TTL")),
            ("from_key", Some("fromkey")),
            ("pref", Some("prefix")),
            ("T", None),
            ("entirely unknown", None),
            ("", None),
            ("kxx", None),
            ("I", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
