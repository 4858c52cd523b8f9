//! Plain HTTP in place of gRPC, as proxies send it.

use std::time::Duration;

use http::StatusCode;
use silly_etcd::etcd::pb::AuthStatusRequest;
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};
use super::{get, keepalive, outcome, put, serve, watch, with_password};

/// A status, what it becomes, and whether a write may have been applied.
const PAGES: [(u16, Code, Applied); 12] = [
    (200, Code::Unknown, Applied::Maybe),
    (302, Code::Unknown, Applied::Maybe),
    (400, Code::Internal, Applied::Maybe),
    (401, Code::Unauthenticated, Applied::No),
    (403, Code::PermissionDenied, Applied::No),
    (404, Code::Unimplemented, Applied::Maybe),
    (413, Code::Unknown, Applied::No),
    (429, Code::Unavailable, Applied::No),
    (500, Code::Unknown, Applied::Maybe),
    (502, Code::Unavailable, Applied::Maybe),
    (503, Code::Unavailable, Applied::Maybe),
    (504, Code::Unavailable, Applied::Maybe),
];

const PAGE: &str = "<!DOCTYPE html PUBLIC\r\n  \"-//W3C//DTD HTML 4.01//EN\">\r\n<html>\r\n\r\n<head><title>The <b>proxy</b>\
                    \x1b[1m\0says\u{85}no</title></head>\r\n<body>more</body></html>\r\n";

/// The first line of that with a text in it, and without what a terminal would obey.
const LINE: &str = "The proxy [1m says no";

fn message(status: u16) -> String {
    format!(
        "plain HTTP in place of gRPC: {}: {LINE}",
        StatusCode::from_u16(status).unwrap()
    )
}

/// Answers requests to `method` with such a page, once, and the others as etcd would.
async fn cluster(status: u16, method: &'static str) -> Cluster {
    Cluster::start(1, move |mut call: Call| async move {
        if call.method != method || call.number > 0 {
            return serve(call).await;
        }
        call.page(status).send_data(PAGE.into(), true).unwrap();
    })
    .await
}

#[test]
fn a_page_that_is_not_there_says_nothing_of_the_version() {
    run(async {
        let etcd = cluster(404, "AuthStatus").await;
        let client = etcd.client(ONCE);
        let error = client.auth().status(AuthStatusRequest {}, &ONCE).await.unwrap_err();
        assert_eq!((error.code, error.message), (Code::Unimplemented, message(404)));
    });
}

#[test]
fn a_write_fails_with_the_status_and_the_first_line_of_the_page() {
    run(async {
        for (status, code, applied) in PAGES {
            let etcd = cluster(status, "Put").await;
            let client = etcd.client(ONCE);
            let error = put(&client).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, applied), "{status}");
            assert_eq!(error.message, message(status));
            assert!(!error.from_server);
            assert_eq!(outcome(put(&client).await), Ok(()), "{status}");
        }
    });
}

#[test]
fn so_does_a_read_which_did_nothing() {
    run(async {
        for (status, code, _) in PAGES {
            let etcd = cluster(status, "Range").await;
            let error = get(&etcd.client(ONCE)).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, Applied::No), "{status}");
            assert_eq!(error.message, message(status));
        }
    });
}

#[test]
fn so_does_a_watch() {
    run(async {
        for (status, code, _) in PAGES {
            let etcd = cluster(status, "Watch").await;
            let client = etcd.client(ONCE);
            let error = until(watch(&client)).await.err().unwrap();
            assert_eq!((error.code, error.applied), (code, Applied::No), "{status}");
            assert_eq!(error.message, message(status));
            until(watch(&client)).await.unwrap();
        }
    });
}

#[test]
fn so_does_a_renewal() {
    run(async {
        for (status, code, applied) in PAGES {
            let etcd = cluster(status, "LeaseKeepAlive").await;
            let error = keepalive(&etcd.client(ONCE)).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, applied), "{status}");
            assert_eq!(error.message, message(status));
        }
    });
}

#[test]
fn so_does_a_login_before_which_nothing_was_sent() {
    run(async {
        for (status, code, _) in PAGES {
            let etcd = cluster(status, "Authenticate").await;
            let error = put(&with_password(&etcd, ONCE)).await.unwrap_err();
            assert_eq!((error.code, error.applied), (code, Applied::No), "{status}");
            assert_eq!(error.message, message(status));
        }
    });
}

#[test]
fn a_page_of_text_is_told_by_its_first_line_and_an_empty_one_by_its_status() {
    run(async {
        for (page, expected) in [
            ("upstream connect error\nor not", ": upstream connect error"),
            ("\r\n \n  late  \n", ": late"),
            ("1 > 0", ": 1 > 0"),
            ("", ""),
            ("<html></html>", ""),
        ] {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                call.page(502).send_data(page.into(), true).unwrap();
            })
            .await;
            let error = get(&etcd.client(ONCE)).await.unwrap_err();
            assert_eq!(
                error.message,
                format!("plain HTTP in place of gRPC: 502 Bad Gateway{expected}")
            );
        }
    });
}

#[test]
fn a_page_that_never_ends_delays_nobody_for_long_and_leaves_the_connection_alone() {
    run(async {
        for (page, timeout) in [("<h1>half", 5000), ("", 5000), ("half", 300)] {
            let etcd = Cluster::start(1, move |mut call: Call| async move {
                if call.number > 0 {
                    return serve(call).await;
                }
                call.page(401).send_data(page.into(), false).unwrap();
                call.abandoned().await;
            })
            .await;
            let client = etcd.client(CallOptions {
                timeout: Duration::from_millis(timeout),
                ..ONCE
            });
            let failed = outcome(until(put(&client)).await);
            assert_eq!(failed, Err((Code::Unauthenticated, Applied::No)));
            put(&client).await.unwrap();
            let streams: Vec<_> = etcd.seen().iter().map(|seen| seen.stream).collect();
            assert_eq!(streams, [1, 3]);
        }
    });
}
