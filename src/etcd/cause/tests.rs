//! The table, row by row, and the page that shows it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn what_the_server_judged_was_not_applied_and_is_not_asked_again() {
    for (code, text) in [
        (Grpc::InvalidArgument, "etcdserver: key is not provided"),
        (Grpc::NotFound, "etcdserver: requested lease not found"),
        (Grpc::FailedPrecondition, "etcdserver: lease already exists"),
        (Grpc::PermissionDenied, "etcdserver: permission denied"),
        (
            Grpc::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ] {
        let expected = Verdict::new(code.into(), Applied::No, Retry::Never);
        assert_eq!(status(code, text), expected, "{text}");
    }
}

#[test]
fn what_never_reached_the_log_was_not_applied() {
    for (code, text) in [
        (Grpc::Unavailable, "etcdserver: no leader"),
        (Grpc::ResourceExhausted, "etcdserver: too many requests"),
        (Grpc::FailedPrecondition, "etcdserver: rpc not supported for learner"),
        (Grpc::Unknown, "raft proposal dropped"),
    ] {
        let verdict = status(code, text);
        assert_eq!((verdict.applied, verdict.retry), (Applied::No, Retry::Later), "{text}");
    }
}

#[test]
fn what_may_still_be_applied_is_never_called_refused() {
    for (code, text) in [
        (Grpc::Unavailable, "etcdserver: request timed out"),
        (Grpc::Unavailable, "etcdserver: leader changed"),
        (Grpc::Unavailable, "etcdserver: server stopped"),
        (Grpc::Unknown, "context deadline exceeded"),
        (Grpc::Unknown, "raft: stopped"),
        (Grpc::Unknown, "anything"),
        (Grpc::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        (Grpc::DataLoss, "etcdserver: corrupt cluster"),
    ] {
        assert_eq!(status(code, text).applied, Applied::Maybe, "{text}");
    }
}

#[test]
fn a_compacted_revision_has_a_code_of_its_own() {
    let text = "etcdserver: mvcc: required revision has been compacted";
    let expected = Verdict::new(Code::Compacted, Applied::No, Retry::Never);
    assert_eq!(status(Grpc::OutOfRange, text), expected);
}

#[test]
fn what_a_proxy_turned_away_was_not_applied() {
    for (status, code, applied) in [
        (400, Code::Internal, Applied::Maybe),
        (401, Code::Unauthenticated, Applied::No),
        (403, Code::PermissionDenied, Applied::No),
        (404, Code::Unimplemented, Applied::Maybe),
        (413, Code::Unknown, Applied::No),
        (429, Code::Unavailable, Applied::No),
        (502, Code::Unavailable, Applied::Maybe),
        (503, Code::Unavailable, Applied::Maybe),
        (504, Code::Unavailable, Applied::Maybe),
        (500, Code::Unknown, Applied::Maybe),
        (302, Code::Unknown, Applied::Maybe),
    ] {
        let verdict = http(StatusCode::from_u16(status).unwrap());
        assert_eq!((verdict.code, verdict.applied), (code, applied), "{status}");
    }
}

/// How the page shows a cause.
fn row(name: &str, cause: &Cause) -> String {
    let verdict = cause.verdict();
    let applied = if verdict.applied == Applied::No { "no" } else { "maybe" };
    let next = match verdict.retry {
        Retry::Never => "nothing",
        Retry::Elsewhere => "another server",
        Retry::Login => "a new token, at once",
        Retry::Reconnect => "a new connection, at once",
        Retry::Later => "another server, or a pause",
    };
    let left = if verdict.member { "; the connection is left" } else { "" };
    let code = match cause {
        Cause::Status(..) => "the server's own".to_owned(),
        _ => format!("`{}`", verdict.code.name()),
    };
    format!("| {name} | {code} | {applied} | {next}{left} |")
}

#[test]
fn the_page_shows_this_table() {
    let http = |status| Cause::Http(StatusCode::from_u16(status).unwrap(), String::new());
    let etcd = |code, text: &str| Cause::Status(code, text.to_owned());
    let second = Duration::from_secs(1);
    let mut rows = Vec::new();
    for (name, causes) in [
        (
            "no connection could be made",
            vec![Cause::Unreachable(ConnectError::Socket("".into()))],
        ),
        (
            "the server's certificate, or the client's, is refused",
            vec![Cause::Unreachable(ConnectError::Tls("".into()))],
        ),
        ("no connection within the deadline", vec![Cause::ConnectTimeout(second)]),
        (
            "all streams that the server allows were in use until the deadline",
            vec![Cause::Queued(String::new(), second)],
        ),
        ("the connection closed before the request left", vec![Cause::NotSent]),
        ("REFUSED_STREAM, or GOAWAY before the request", vec![Cause::Refused]),
        ("the connection or the stream broke", vec![Cause::Cut(String::new())]),
        ("no response within the deadline", vec![Cause::Timeout(second)]),
        ("plain HTTP 401", vec![http(401)]),
        ("plain HTTP 403", vec![http(403)]),
        ("plain HTTP 413", vec![http(413)]),
        ("plain HTTP 429", vec![http(429)]),
        ("plain HTTP 502, 503, 504", vec![http(502), http(503), http(504)]),
        ("plain HTTP 400", vec![http(400)]),
        ("plain HTTP 404", vec![http(404)]),
        ("plain HTTP 500", vec![http(500), http(501)]),
        ("plain HTTP, any other status", vec![http(200), http(302), http(418)]),
        ("a response larger than accepted", vec![Cause::TooLarge(1)]),
        (
            "a response in a compression that nobody asked for",
            vec![Cause::Compressed(String::new())],
        ),
        (
            "a response that breaks the rules of gRPC",
            vec![Cause::Malformed(String::new())],
        ),
        ("a response from a server of another cluster", vec![Cause::Foreign]),
        (
            "the endpoint of a stream was removed from those of the client",
            vec![Cause::Removed],
        ),
        (
            "the server is older than `min_version`",
            vec![
                Cause::TooOld("3.4".parse().ok(), "3.5".parse().unwrap()),
                Cause::TooOld(None, "3.5".parse().unwrap()),
            ],
        ),
        (
            "the configured token is no text that a header can carry",
            vec![Cause::Unsendable],
        ),
        (
            "etcd: the token is missing, worn out or outdated",
            vec![etcd(Grpc::Unauthenticated, "etcdserver: invalid auth token")],
        ),
        (
            "etcd: no leader, a learner, a proposal dropped",
            vec![
                etcd(Grpc::Unavailable, "etcdserver: no leader"),
                etcd(Grpc::FailedPrecondition, "etcdserver: rpc not supported for learner"),
                etcd(Grpc::Unknown, "raft proposal dropped"),
            ],
        ),
        (
            "etcd: too many requests",
            vec![etcd(Grpc::ResourceExhausted, "etcdserver: too many requests")],
        ),
        (
            "etcd: unavailable for another reason",
            vec![etcd(Grpc::Unavailable, "etcdserver: request timed out")],
        ),
        (
            "etcd: an error without a code",
            vec![etcd(Grpc::Unknown, "raft: stopped")],
        ),
        (
            "etcd: no space",
            vec![etcd(
                Grpc::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            )],
        ),
        (
            "etcd: data is damaged",
            vec![etcd(Grpc::DataLoss, "etcdserver: corrupt cluster")],
        ),
        (
            "etcd: the request was judged and turned down",
            vec![etcd(Grpc::InvalidArgument, "etcdserver: key is not provided")],
        ),
    ] {
        let shown: Vec<_> = causes.iter().map(|cause| row(name, cause)).collect();
        assert!(shown.iter().all(|row| *row == shown[0]), "{shown:?}");
        rows.push(shown[0].clone());
    }
    let page = include_str!("../../../docs/failures.md");
    let table: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(table, rows);
}

#[test]
fn a_message_is_one_short_line() {
    assert_eq!(one_line("a\nb\0c"), "a b c");
    assert_eq!(one_line(&"ü".repeat(4000)).len(), 4096);
}

#[test]
fn a_deadline_is_shown_in_seconds() {
    for (micros, shown) in [(250, "0.00025"), (1_500, "0.002"), (2_999_871, "3"), (5_000_000, "5")] {
        let cause = Cause::Timeout(Duration::from_micros(micros));
        assert_eq!(cause.message(), format!("no response within {shown} s"));
    }
}

#[test]
fn a_refusal_by_the_maintenance_service_is_one_though_it_has_no_code() {
    for (text, code, retry) in [
        ("auth: permission denied", Code::PermissionDenied, Retry::Never),
        ("auth: invalid auth token", Code::Unauthenticated, Retry::Login),
        ("auth: user name is empty", Code::InvalidArgument, Retry::Login),
        ("auth: revision in header is old", Code::InvalidArgument, Retry::Login),
        ("auth: user not found", Code::FailedPrecondition, Retry::Never),
    ] {
        let verdict = Cause::Status(Grpc::Unknown, text.to_owned()).verdict();
        assert_eq!(
            (verdict.code, verdict.applied, verdict.retry),
            (code, Applied::No, retry),
            "{text}"
        );
    }
}
