//! A server that refuses to renew one lease, and ends the stream with it.

use std::time::Duration;

use silly_etcd::etcd::pb::LeaseKeepAliveRequest;
use silly_etcd::etcd::{Code, Readable};
use tokio::time::sleep;

use super::scripted::{self, Answer, NOW, put, streams};
use super::support::ONCE;
use super::support::clock::{run, until};

const DENIED: Answer = Answer::Refusal("7", "etcdserver: permission denied");

#[test]
fn the_others_are_renewed_whichever_of_them_is_refused() {
    // A lease is due the sooner, the shorter its TTL is.
    const TTLS: [i64; 3] = [9, 10, 11];
    run(async {
        for servers in [1, 3] {
            for refused in TTLS {
                let rule = move |_, ttl| if ttl == refused { DENIED } else { NOW };
                let etcd = scripted::cluster(servers, rule).await;
                let client = etcd.client(ONCE);
                scripted::grant(&client, &TTLS).await;
                until(sleep(Duration::from_secs(60))).await;
                for lease in TTLS {
                    assert_eq!(
                        put(&client, lease).await.is_err(),
                        lease == refused,
                        "{lease} of {refused}"
                    );
                }
                let streams: usize = streams(&etcd).values().sum();
                assert!(streams < 15, "{streams} streams");
            }
        }
    });
}

#[test]
fn a_refused_lease_is_lost_at_its_end_with_the_servers_word() {
    run(async {
        for (status, code) in [
            ("7", Code::PermissionDenied),
            ("3", Code::InvalidArgument),
            ("2", Code::Unknown),
            ("9", Code::FailedPrecondition),
        ] {
            let etcd = scripted::cluster(2, move |_, _| Answer::Refusal(status, "not yours")).await;
            let client = etcd.client(ONCE);
            scripted::grant(&client, &[9]).await;
            until(sleep(Duration::from_millis(8900))).await;
            put(&client, 9).await.unwrap();
            until(sleep(Duration::from_millis(200))).await;
            let error = put(&client, 9).await.unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (code, "lease 9 is lost: not yours")
            );
        }
    });
}

#[test]
fn its_readers_hear_why() {
    run(async {
        let etcd = scripted::cluster(1, |_, ttl| if ttl == 9 { DENIED } else { NOW }).await;
        let client = etcd.client(ONCE);
        let request = LeaseKeepAliveRequest { id: 10 };
        let (_, kept) = client.keepalive(request, Some(true), &ONCE).await.unwrap();
        let kept = kept.unwrap();
        kept.read().await.unwrap();
        scripted::grant(&client, &[9]).await;
        // One that another lease's refusal leaves unanswered goes on.
        for _ in 0..5 {
            until(kept.read()).await.unwrap();
        }
        let error = put(&client, 9).await.unwrap_err();
        assert_eq!(error.code, Code::PermissionDenied);
    });
}
