//! What the server's errors become: code, text, whether a write may have happened, and whether it is asked again.

use silly_etcd::etcd::pb::LeaseGrantRequest;
use silly_etcd::etcd::{Applied, CallOptions, Code};

use super::support::clock::run;
use super::support::{Call, Cluster, ONCE};
use super::{get, keepalive, outcome, put, serve};

/// The errors of etcd: gRPC code, fate, text.
const ETCD: &str = include_str!("errors.tsv");

/// The same for errors of the libraries under it, which come without a code, or with one that etcd does not know.
const OTHERS: &str = "
2	lost	context deadline exceeded
2	lost	panic in the server
2	lost	raft: stopped
2	lost	waiting for node to catch up its applied index has timed out
2	lost	Put \"http://10.0.0.1:2380/leases\": dial tcp 10.0.0.1:2380: connect: connection refused
2	refused	raft proposal dropped
6	denied	grpc: exists
8	denied	grpc: received message larger than max (2097153 vs. 2097152)
10	lost	grpc: aborted
12	denied	unknown method RangeStream for service etcdserverpb.KV
13	lost	transport: failed to write
14	lost	transport is closing
99	lost	what is this";

struct Case {
    /// The status that says it.
    status: String,
    /// The status that is sent.
    sent: String,
    text: String,
    fate: &'static str,
}

fn cases() -> impl Iterator<Item = Case> {
    let etcd = ETCD.lines().filter(|line| !line.starts_with('#'));
    let etcd = etcd.map(|line| (line, "etcdserver: "));
    let others = OTHERS.lines().skip(1).map(|line| (line, ""));
    let unchanged = etcd.clone().chain(others).map(|(line, prefix)| (line, prefix, None));
    // etcd's proxy loses the code.
    let proxied = etcd.map(|(line, prefix)| (line, prefix, Some("2")));
    unchanged.chain(proxied).map(|(line, prefix, sent)| {
        let [status, fate, text] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not three columns");
        };
        Case {
            status: status.to_owned(),
            sent: sent.unwrap_or(status).to_owned(),
            text: format!("{prefix}{text}"),
            fate,
        }
    })
}

impl Case {
    fn code(&self) -> Code {
        if self.text == "etcdserver: mvcc: required revision has been compacted" {
            return Code::Compacted;
        }
        match self.status.as_str() {
            "1" => Code::Cancelled,
            "3" => Code::InvalidArgument,
            "4" => Code::DeadlineExceeded,
            "5" => Code::NotFound,
            "6" => Code::AlreadyExists,
            "7" => Code::PermissionDenied,
            "8" => Code::ResourceExhausted,
            "9" => Code::FailedPrecondition,
            "10" => Code::Aborted,
            "11" => Code::OutOfRange,
            "12" => Code::Unimplemented,
            "13" => Code::Internal,
            "14" => Code::Unavailable,
            "15" => Code::DataLoss,
            "16" => Code::Unauthenticated,
            _ => Code::Unknown,
        }
    }

    fn applied(&self) -> Applied {
        match self.fate {
            "denied" | "refused" => Applied::No,
            _ => Applied::Maybe,
        }
    }

    /// A server that answers its first request with this error.
    async fn cluster(&self) -> Cluster {
        let (status, text) = (self.sent.clone(), self.text.clone());
        Cluster::start(1, move |mut call: Call| {
            let (status, text) = (status.clone(), text.clone());
            async move {
                match call.number {
                    0 => call.finish(&status, &text),
                    _ => serve(call).await,
                }
            }
        })
        .await
    }
}

#[test]
fn c1_each_error_has_its_code_its_text_and_its_outcome() {
    run(async {
        for case in cases() {
            let etcd = case.cluster().await;
            let error = put(&etcd.client(ONCE)).await.unwrap_err();
            assert_eq!(
                (error.code, error.applied),
                (case.code(), case.applied()),
                "{}",
                case.text
            );
            assert_eq!(error.message, case.text);
            assert_eq!(error.endpoint.as_deref(), Some(etcd.addresses[0].to_string().as_str()));
        }
    });
}

#[test]
fn c3_a_write_is_sent_again_only_if_it_was_refused() {
    run(async {
        for case in cases() {
            let etcd = case.cluster().await;
            let expected = match case.fate {
                "refused" => (Ok(()), 2),
                _ => (Err((case.code(), case.applied())), 1),
            };
            let written = outcome(put(&etcd.client(CallOptions { retry: 3, ..ONCE })).await);
            assert_eq!((written, etcd.methods().len()), expected, "{}", case.text);
        }
    });
}

#[test]
fn a_write_that_may_be_repeated_is_not_where_that_does_not_help() {
    run(async {
        for case in cases() {
            let etcd = case.cluster().await;
            let expected = match case.fate {
                "refused" | "lost" => (Ok(()), 2),
                _ => (Err((case.code(), case.applied())), 1),
            };
            let options = CallOptions {
                retry: 3,
                retry_unknown: true,
                ..ONCE
            };
            let written = outcome(put(&etcd.client(options)).await);
            assert_eq!((written, etcd.methods().len()), expected, "{}", case.text);
        }
    });
}

#[test]
fn c4_a_read_is_repeated_where_that_helps() {
    run(async {
        for case in cases() {
            let etcd = case.cluster().await;
            let expected = match case.fate {
                "refused" | "lost" => (Ok(()), 2),
                _ => (Err((case.code(), Applied::No)), 1),
            };
            let read = outcome(get(&etcd.client(CallOptions { retry: 3, ..ONCE })).await);
            assert_eq!((read, etcd.methods().len()), expected, "{}", case.text);
        }
    });
}

#[test]
fn so_is_a_renewal_and_a_grant_whose_lease_the_client_names() {
    run(async {
        for case in cases() {
            let again = matches!(case.fate, "refused" | "lost");
            let expected = (again, if again { 2 } else { 1 });
            let options = CallOptions { retry: 3, ..ONCE };
            let etcd = case.cluster().await;
            let renewed = keepalive(&etcd.client(options.clone())).await.is_ok();
            assert_eq!((renewed, etcd.methods().len()), expected, "{}", case.text);
            // The client asks about a lease that exists: it may be its own.
            if case.text == "etcdserver: lease already exists" {
                continue;
            }
            let etcd = case.cluster().await;
            let granted = etcd
                .client(options.clone())
                .grant(LeaseGrantRequest::default(), false, &options)
                .await;
            assert_eq!((granted.is_ok(), etcd.methods().len()), expected, "{}", case.text);
        }
    });
}
