//! The users of the cell with authentication: one whose permission is taken and given back, and one who must not
//! notice.
//!
//! Everything is done by etcdctl as root. What was taken when is in the record, and judged by it.

use anyhow::Result;
use silly_etcd::etcd::{Client, Code, Credentials};

use crate::check::Violation;
use crate::cluster::{Cluster, etcdctl};
use crate::history::{Call, Outcome, Record, Time, WatchEnd};
use crate::stage::Stage;
use crate::{entries, leases, lockers, traffic};

const PASSWORD: &str = "secret";
const ROOT: &str = "root";
const STEADY: &str = "steady";
const SHAKY: &str = "shaky";

/// All members know of a change so long after it was answered.
const SPREAD: Time = 1_000_000_000;

/// Is this caller, or this reader's client, the user whose permission is taken?
fn is_shaky(number: usize) -> bool {
    number % 2 == 1
}

/// Who a caller, or a reader's client, is.
pub fn credentials(number: usize) -> Credentials {
    of(if is_shaky(number) { SHAKY } else { STEADY })
}

/// A client that may do everything.
pub fn root(stage: &Stage) -> Client {
    stage.client_of(Some(of(ROOT)), 0..3, leases::PATIENCE)
}

fn of(user: &str) -> Credentials {
    Credentials::Password {
        user: user.to_owned(),
        password: PASSWORD.to_owned().into(),
    }
}

/// Makes the users and switches authentication on.
pub async fn enable(cluster: &Cluster) -> Result<()> {
    for user in [ROOT, STEADY, SHAKY] {
        run(cluster, &["user", "add", &format!("{user}:{PASSWORD}")]).await?;
        run(cluster, &["role", "add", user]).await?;
        run(cluster, &["user", "grant-role", user, user]).await?;
    }
    for prefix in [traffic::PREFIX, leases::PREFIX, entries::PREFIX, lockers::PREFIX] {
        run(
            cluster,
            &["role", "grant-permission", STEADY, "readwrite", prefix, "--prefix"],
        )
        .await?;
    }
    give(cluster).await?;
    run(cluster, &["auth", "enable"]).await?;
    login(cluster).await
}

/// Has the hands on the members act as root, after authentication was switched on.
pub async fn login(cluster: &Cluster) -> Result<()> {
    for member in &cluster.members {
        member.control.login(ROOT, PASSWORD).await?;
    }
    Ok(())
}

/// Takes the permission.
pub async fn take(cluster: &Cluster) -> Result<()> {
    run(
        cluster,
        &["role", "revoke-permission", SHAKY, traffic::PREFIX, "--prefix"],
    )
    .await
}

/// Gives it back.
pub async fn give(cluster: &Cluster) -> Result<()> {
    run(
        cluster,
        &[
            "role",
            "grant-permission",
            SHAKY,
            "readwrite",
            traffic::PREFIX,
            "--prefix",
        ],
    )
    .await
}

/// How many logins the members have accepted.
pub async fn logins(cluster: &Cluster) -> Result<usize> {
    let mut count = 0;
    for member in &cluster.members {
        count += member
            .control
            .counted("grpc_server_handled_total", &["Authenticate", "OK"])
            .await?;
    }
    Ok(count)
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    let endpoint = format!("--endpoints={}", cluster.members[0].control.endpoint);
    let user = format!("--user={ROOT}:{PASSWORD}");
    etcdctl(&[arguments, &[&endpoint, &user]].concat()).await.map(drop)
}

/// What is wrong with the users' lives. There were so many logins of so many clients, and of root; authentication was
/// `switched` off and on again so often.
pub fn judge(record: &Record, clients: usize, switched: usize, logins: usize) -> Vec<Violation> {
    let taken = |from: Time, to: Time| {
        record
            .taken
            .iter()
            .any(|(start, end)| from < end + SPREAD && to > *start)
    };
    let mut found = Vec::new();
    for call in &record.calls {
        match denied(call) {
            Some(_) if !is_shaky(call.client) || !taken(call.called, call.returned) => {
                found.push(Violation::new("undisturbed", call.to_string()));
            }
            Some(false) => found.push(Violation::new("denied means no", call.to_string())),
            _ => {}
        }
    }
    for watch in &record.watches {
        if let WatchEnd::Denied(reason) = &watch.end
            && !(is_shaky(watch.client) && taken(watch.called, watch.ended))
        {
            found.push(Violation::new(
                "undisturbed",
                format!("watch {:?}: {reason}", watch.name),
            ));
        }
    }
    found.extend(restored(record));
    let changes = 2 * record.taken.len() + switched;
    // Of a client one at first, and one for each change: a token may be refused because of it. Of root one for each
    // member, and one for each change; after each switch also of each member's hand, and of the client that switches.
    let bound = clients * (1 + changes) + 3 + changes + 5 * switched;
    if logins > bound {
        let text = format!("{logins} logins of {clients} clients, {bound} is the limit");
        found.push(Violation::new("few logins", text));
    }
    found
}

/// Was the call denied? And if so, did it say that it did nothing?
fn denied(call: &Call) -> Option<bool> {
    let code = Code::PermissionDenied.name();
    match &call.outcome {
        Outcome::Failed(text) if text.starts_with(code) => Some(true),
        Outcome::Unknown(text) if text.starts_with(code) => Some(false),
        _ => None,
    }
}

/// Whoever was denied is answered once the permission is back.
fn restored(record: &Record) -> Vec<Violation> {
    let answered = |number: usize, from: Time, to: Time| {
        let mut calls = record
            .calls
            .iter()
            .filter(|call| call.client == number && (from..to).contains(&call.called));
        calls.any(|call| call.revision().is_some())
    };
    let ends = record.taken.iter().map(|(_, end)| *end);
    let next = record.taken.iter().map(|(start, _)| *start).skip(1).chain([Time::MAX]);
    let mut found = Vec::new();
    for (given, taken) in ends.zip(next) {
        for number in (0..crate::stage::CALLERS).filter(|number| is_shaky(*number)) {
            if !answered(number, given, taken) {
                found.push(Violation::new(
                    "given back",
                    format!("client {number} is not answered any more"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::doctor::{call, ok};
    use crate::history::Action;

    const SECOND: Time = 1_000_000_000;

    /// What is wrong when a permission is taken from 10 s to 14 s, and then everybody is answered.
    fn violated(client: usize, at: Time, outcome: Outcome, logins: usize) -> Vec<&'static str> {
        let by = |client, at, outcome| Call {
            client,
            ..call("k/a", Action::Get, (at * SECOND, at * SECOND + 1), outcome)
        };
        let answered = (0..crate::stage::CALLERS).map(|number| by(number, 20, ok(2, None)));
        let record = Record {
            calls: answered.chain([by(client, at, outcome)]).collect(),
            taken: vec![(10 * SECOND, 14 * SECOND)],
            ..Record::default()
        };
        judge(&record, 2, 0, logins)
            .into_iter()
            .map(|violation| violation.property)
            .collect()
    }

    fn failed() -> Outcome {
        Outcome::Failed("permission_denied: etcdserver: permission denied".to_owned())
    }

    #[test]
    fn who_lacks_the_permission_is_denied() {
        assert_eq!(violated(1, 12, failed(), 11), [""; 0]);
        assert_eq!(violated(1, 16, failed(), 11), ["undisturbed"]);
        assert_eq!(violated(0, 12, failed(), 11), ["undisturbed"]);
        let unknown = Outcome::Unknown("permission_denied: etcdserver: permission denied".to_owned());
        assert_eq!(violated(1, 12, unknown, 11), ["denied means no"]);
    }

    #[test]
    fn too_many_logins_are_found() {
        assert_eq!(violated(1, 12, failed(), 12), ["few logins"]);
    }

    #[test]
    fn who_stays_without_an_answer_is_found() {
        let record = Record {
            taken: vec![(10 * SECOND, 14 * SECOND)],
            ..Record::default()
        };
        assert!(
            judge(&record, 2, 0, 0)
                .iter()
                .all(|violation| violation.property == "given back")
        );
        assert!(!judge(&record, 2, 0, 0).is_empty());
    }
}
