//! Three etcd members, on loopback or on a network of their own.
//!
//! All of it goes away when the [`Cluster`] is dropped, by whatever way: the processes by SIGKILL, the folder deleted.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::cells::{Cell, Way};
use crate::member::Member;
use crate::net::Network;

/// How long a cluster may take to elect a leader.
const HEALTHY_LIMIT: Duration = Duration::from_secs(30);

/// The members, and what they live in.
pub struct Cluster {
    pub members: Vec<Member>,
    pub network: Option<Network>,
    folder: PathBuf,
    /// The flag that names all members.
    peers: String,
}

impl Cluster {
    /// A new cluster of three that has a leader.
    pub async fn start(cell: &Cell, network: Option<Network>) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!(
            "silly-etcd-faults.{}.{:08x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        fs::create_dir_all(&folder)?;
        let mut cluster = Self {
            members: Vec::new(),
            network,
            folder,
            peers: String::new(),
        };
        for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
            let member = Member::new(i, name, &cluster.folder, cluster.network.as_ref(), cell.way == Way::Tls)?;
            cluster.members.push(member);
        }
        let peers: Vec<_> = cluster
            .members
            .iter()
            .map(|m| format!("{}={}", m.name, m.peer_url()))
            .collect();
        cluster.peers = format!("--initial-cluster={}", peers.join(","));
        for member in &mut cluster.members {
            member.command.push(cluster.peers.clone());
            member.command.extend(cell.flags.iter().map(ToString::to_string));
            member.start()?;
        }
        cluster.healthy().await?;
        Ok(cluster)
    }

    /// Starts and wakes whatever does not run, and waits until every member knows a leader.
    pub async fn heal(&mut self) -> Result<()> {
        for member in &mut self.members {
            if !member.runs() {
                member.start()?;
            }
            member.resume()?;
        }
        self.healthy().await
    }

    async fn healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + HEALTHY_LIMIT;
        for member in &mut self.members {
            loop {
                match member.control.status().await {
                    Ok(status) if status.leader != 0 => break,
                    _ if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                    _ => bail!("member {} does not become healthy:\n{}", member.name, member.log()),
                }
            }
        }
        Ok(())
    }

    /// Where clients are served, by every member.
    pub fn endpoints(&self) -> Vec<String> {
        let endpoint = |member: &Member| format!("{}:{}", member.host, member.client_port);
        self.members.iter().map(endpoint).collect()
    }

    /// Keeps a backup, and says at which revision it was taken.
    pub async fn backup(&self) -> Result<i64> {
        let file = self.backup_file();
        fs::write(&file, self.members[0].control.snapshot().await?)?;
        let status = etcdctl(&["snapshot", "status", &file.display().to_string()]).await?;
        let revision = status.split(',').nth(1).context("no revision")?;
        Ok(revision.trim().parse()?)
    }

    /// Gives all members, which do not run, the data of the backup in place of theirs.
    pub async fn restore(&self) -> Result<()> {
        for member in &self.members {
            let data = member.folder.join("data");
            fs::remove_dir_all(&data)?;
            etcdctl(&[
                "snapshot",
                "restore",
                &self.backup_file().display().to_string(),
                &format!("--data-dir={}", data.display()),
                &format!("--name={}", member.name),
                &format!("--initial-advertise-peer-urls={}", member.peer_url()),
                &self.peers,
            ])
            .await?;
        }
        fs::remove_file(self.backup_file())?;
        Ok(())
    }

    fn backup_file(&self) -> PathBuf {
        self.folder.join("backup")
    }

    /// The index of the leader, asked from whoever knows it.
    pub async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + HEALTHY_LIMIT;
        while Instant::now() < deadline {
            for (i, member) in self.members.iter().enumerate() {
                if let Ok(status) = member.control.status().await
                    && status.header.is_some_and(|header| header.member_id == status.leader)
                {
                    return Ok(i);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("no leader");
    }

    /// The index of some follower.
    pub async fn follower(&self) -> Result<usize> {
        let leader = self.leader().await?;
        Ok((leader + fastrand::usize(1..self.members.len())) % self.members.len())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Dropping a member kills it.
        self.members.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs etcdctl, and returns what it prints.
pub async fn etcdctl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(arguments)
        .output()
        .await
        .context("no etcdctl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "etcdctl {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port that nobody listens on, below the range from which the kernel takes ports for outgoing connections.
pub fn free_port() -> Result<u16> {
    for _ in 0..1000 {
        let port = fastrand::u16(10_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port");
}
