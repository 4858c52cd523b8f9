//! The members that the cluster names.

use std::time::Duration;

use silly_etcd::etcd::pb::Member;
use silly_etcd::etcd::{CallOptions, Client, Code, Config, Credentials, Level, Readable};
use tokio::time::{Instant, sleep};

use super::support::clock::{run, until};
use super::support::{ONCE, address, refusing};
use super::{asked, config, known, start, until_known};

/// A member that listens for clients there.
fn member(id: u64, urls: &[String]) -> Member {
    Member {
        id,
        name: format!("m{id}"),
        client_ur_ls: urls.to_vec(),
        ..Member::default()
    }
}

fn url(address: impl std::fmt::Display) -> String {
    format!("http://{address}")
}

async fn sync(client: &Client) {
    until(client.sync(&CallOptions::DEFAULT)).await.unwrap();
}

#[test]
fn members_come_before_the_configured_servers_which_stay() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = Client::new(config(&etcd, &[0]));
        script.lock().unwrap().members = vec![
            member(2, &[url(etcd.addresses[1])]),
            member(3, &[url(etcd.addresses[2])]),
        ];
        sync(&client).await;
        let [conf, first, second] = [0, 1, 2].map(|at| etcd.addresses[at].to_string());
        assert_eq!(
            known(&client),
            [(first.clone(), "member"), (second, "member"), (conf.clone(), "conf")]
        );
        assert_ne!(asked(&client).await, 0);
        // A member that was removed is not asked any longer.
        script.lock().unwrap().members.pop();
        sync(&client).await;
        assert_eq!(known(&client), [(first, "member"), (conf, "conf")]);
    });
}

#[test]
fn an_address_that_leads_elsewhere_locks_nobody_out() {
    run(async {
        let (etcd, script) = start(3).await;
        let records = |client: &Client| {
            let records = client.records();
            move || -> Vec<_> {
                let all = std::iter::from_fn(|| records.take()?.ok());
                all.filter(|record| record.event == "member_refused")
                    .map(|record| record.message)
                    .collect()
            }
        };
        let client = Client::new(Config {
            level: Level::Info,
            ..config(&etcd, &[0])
        });
        let refused = records(&client);
        let nobody = refusing().local_addr().unwrap();
        {
            let mut script = script.lock().unwrap();
            // What `localhost` often is: another etcd, or nobody.
            script.foreign = vec![2];
            let mut learner = member(4, &[url(etcd.addresses[1])]);
            learner.is_learner = true;
            let mut unstarted = member(5, &[url(etcd.addresses[1])]);
            unstarted.name.clear();
            script.members = vec![
                member(1, &[url(nobody)]),
                member(3, &[url(etcd.addresses[2])]),
                learner,
                unstarted,
                member(6, &[format!("https://{}", etcd.addresses[1]), "nonsense".to_owned()]),
            ];
        }
        sync(&client).await;
        assert_eq!(known(&client), [(etcd.addresses[0].to_string(), "conf")]);
        assert_eq!(
            refused(),
            [
                "a member's address is not used: connection refused",
                "a member's address is not used: this server belongs to another cluster than the others",
            ]
        );
        assert_eq!(asked(&client).await, 0);
        // It is tried again the next time.
        script.lock().unwrap().foreign.clear();
        sync(&client).await;
        assert_eq!(known(&client)[0], (etcd.addresses[2].to_string(), "member"));
    });
}

#[test]
fn no_password_goes_to_a_server_of_another_cluster() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = Client::new(Config {
            credentials: Some(Credentials::Password {
                user: "u".to_owned(),
                password: "p".to_owned().into(),
            }),
            ..config(&etcd, &[0])
        });
        {
            let mut script = script.lock().unwrap();
            script.foreign = vec![1];
            script.reserved = vec![2];
            script.members = vec![
                member(2, &[url(etcd.addresses[1])]),
                member(3, &[url(etcd.addresses[2])]),
            ];
        }
        sync(&client).await;
        assert_eq!(known(&client)[0], (etcd.addresses[2].to_string(), "member"));
        let of = |server: usize| -> Vec<_> {
            let seen = etcd.seen().into_iter().filter(move |seen| seen.server == server);
            seen.map(|seen| (seen.method, seen.metadata.contains_key("token")))
                .collect()
        };
        assert_eq!(of(1), [("MemberList".to_owned(), false)]);
        // There is a token already.
        let asked = [("MemberList".to_owned(), false), ("MemberList".to_owned(), true)];
        // Later requests are those of the client itself.
        assert_eq!(of(2)[..2], asked);
    });
}

#[test]
fn it_happens_by_itself_and_calls_move_to_members() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = Client::new(Config {
            sync: Some(Duration::from_secs(10)),
            ..config(&etcd, &[0])
        });
        script.lock().unwrap().members = vec![member(2, &[url(etcd.addresses[1])])];
        assert_eq!(asked(&client).await, 0);
        let [conf, first, second] = [0, 1, 2].map(|at| etcd.addresses[at].to_string());
        until_known(&client, &[(first.clone(), "member"), (conf.clone(), "conf")]).await;
        super::until_asked(&client, 1).await;
        script.lock().unwrap().members = vec![member(3, &[url(etcd.addresses[2])])];
        until_known(&client, &[(second, "member"), (conf, "conf")]).await;
        super::until_asked(&client, 2).await;
    });
}

#[test]
fn a_cluster_that_does_not_say_changes_nothing() {
    run(async {
        let (etcd, script) = start(2).await;
        let client = Client::new(config(&etcd, &[0]));
        script.lock().unwrap().members = vec![member(2, &[url(etcd.addresses[1])])];
        sync(&client).await;
        let before = known(&client);
        script.lock().unwrap().refusing = vec![0, 1];
        until(client.sync(&ONCE)).await.unwrap_err();
        assert_eq!(known(&client), before);
        script.lock().unwrap().refusing.clear();
        until(sleep(Duration::from_secs(1))).await;
        asked(&client).await;
    });
}

#[test]
fn what_was_asked_of_the_old_servers_says_nothing_of_the_new_ones() {
    run(async {
        let (etcd, script) = start(3).await;
        let client = Client::new(config(&etcd, &[0]));
        {
            let mut script = script.lock().unwrap();
            script.members = vec![member(2, &[url(etcd.addresses[1])])];
            script.slow = vec![1];
        }
        let replaced = async {
            while !etcd.seen().iter().any(|seen| seen.server == 1) {
                sleep(Duration::from_millis(10)).await;
            }
            client.set_endpoints(vec![address(&etcd.addresses[2])]).unwrap();
        };
        let (synced, ()) = until(async { tokio::join!(client.sync(&CallOptions::DEFAULT), replaced) }).await;
        synced.unwrap();
        assert_eq!(known(&client), [(etcd.addresses[2].to_string(), "conf")]);
    });
}

#[test]
fn it_ends_by_its_deadline_and_with_the_client() {
    run(async {
        let (etcd, script) = start(2).await;
        let client = Client::new(config(&etcd, &[0]));
        {
            let mut script = script.lock().unwrap();
            script.members = vec![member(2, &[url(etcd.addresses[1])])];
            script.slow = vec![1];
        }
        let began = Instant::now();
        let options = CallOptions {
            deadline: Some(began + Duration::from_millis(500)),
            ..CallOptions::DEFAULT
        };
        let error = until(client.sync(&options)).await.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert!(began.elapsed() < Duration::from_secs(1));
        let close = async {
            sleep(Duration::from_millis(100)).await;
            client.close();
        };
        let (synced, ()) = until(async { tokio::join!(client.sync(&CallOptions::DEFAULT), close) }).await;
        assert_eq!(synced.unwrap_err().code, Code::Closed);
    });
}

#[test]
fn many_clients_do_not_all_turn_to_the_same_member() {
    run(async {
        let (etcd, script) = start(3).await;
        script.lock().unwrap().members = vec![
            member(2, &[url(etcd.addresses[1])]),
            member(3, &[url(etcd.addresses[2])]),
        ];
        let mut seen = [0; 3];
        for _ in 0..30 {
            let client = Client::new(config(&etcd, &[0]));
            sync(&client).await;
            seen[asked(&client).await] += 1;
        }
        assert!(seen[1] > 0 && seen[2] > 0, "{seen:?}");
    });
}
