//! A watch that sees nothing for long: how far it has come is asked for, where the server's word on that is good.

use std::time::Duration;

use silly_etcd::etcd::pb::watch_request::RequestUnion;
use silly_etcd::etcd::pb::{StatusResponse, WatchResponse};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::support::clock::{run, until};
use super::support::{Call, ONCE};
use super::{START, cluster, create, header, request, watching};

/// More than the time between two questions.
const WHILE: Duration = Duration::from_secs(15);

/// Answers the question which server this is.
async fn identify(calls: &mut UnboundedReceiver<Call>, version: Result<&str, &str>) {
    let mut call = until(timeout(WHILE, calls.recv())).await.unwrap().unwrap();
    assert_eq!(call.method, "Status");
    match version {
        Ok(version) => call.reply(&StatusResponse {
            version: version.to_owned(),
            ..StatusResponse::default()
        }),
        Err(code) => call.finish(code, "no"),
    }
}

/// What is asked on the stream then, if something is.
async fn asked(stream: &mut Call) -> Option<RequestUnion> {
    until(timeout(WHILE, request(stream))).await.ok()
}

/// The revision from which the watch resumes.
async fn resumes(stream: &mut Call, calls: &mut UnboundedReceiver<Call>) -> i64 {
    stream.wire.close();
    create(&mut until(calls.recv()).await.unwrap()).await.start_revision
}

#[test]
fn an_idle_watch_resumes_from_where_the_server_said_it_was() {
    run(async {
        for version in [Ok("3.4.36"), Ok("3.5.30"), Ok("3.6.9"), Err("7")] {
            let (etcd, mut calls) = cluster(1).await;
            let client = etcd.client(ONCE);
            let (_watcher, mut stream, _) = watching(&client, &mut calls).await;
            identify(&mut calls, version).await;
            let request = asked(&mut stream).await;
            assert!(
                matches!(request, Some(RequestUnion::ProgressRequest(_))),
                "{version:?}: {request:?}"
            );
            stream.send(&WatchResponse {
                watch_id: -1,
                header: Some(header(500)),
                ..WatchResponse::default()
            });
            stream.wire.delivered().await;
            assert_eq!(resumes(&mut stream, &mut calls).await, 500, "{version:?}");
        }
    });
}

#[test]
fn a_server_whose_answer_runs_ahead_of_the_events_is_not_asked() {
    run(async {
        for version in [Ok("3.4.23"), Ok("3.5.1"), Err("12")] {
            let (etcd, mut calls) = cluster(1).await;
            let client = etcd.client(ONCE);
            let (_watcher, mut stream, _) = watching(&client, &mut calls).await;
            identify(&mut calls, version).await;
            assert_eq!(asked(&mut stream).await, None, "{version:?}");
            assert_eq!(resumes(&mut stream, &mut calls).await, START - 1, "{version:?}");
        }
    });
}

#[test]
fn a_server_that_does_not_say_who_it_is_is_asked_again_and_keeps_its_stream() {
    run(async {
        let (etcd, mut calls) = cluster(1).await;
        let client = etcd.client(ONCE);
        let (_watcher, mut stream, _) = watching(&client, &mut calls).await;
        identify(&mut calls, Err("14")).await;
        identify(&mut calls, Ok("3.5.30")).await;
        let request = asked(&mut stream).await;
        assert!(matches!(request, Some(RequestUnion::ProgressRequest(_))), "{request:?}");
        assert_eq!(super::streams(&etcd), 1);
    });
}
