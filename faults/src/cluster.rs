//! Three etcd members, each a process with a data folder of its own, on loopback or on a network of their own.
//!
//! All of it goes away when the [`Cluster`] is dropped, by whatever way: the processes by SIGKILL, the folder deleted.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::cells::{Cell, Way};
use crate::control::Control;
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

/// One member, running or not.
pub struct Member {
    pub name: String,
    pub host: String,
    /// Where clients are served; with TLS, if the cell wants that.
    pub client_port: u16,
    pub control: Control,
    peer_port: u16,
    folder: PathBuf,
    /// The program and its arguments.
    command: Vec<String>,
    process: Option<Child>,
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
            if member.process.is_none() {
                member.start()?;
            }
            member.signal(Signal::SIGCONT)?;
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

impl Member {
    fn new(number: usize, name: &str, folder: &Path, network: Option<&Network>, tls: bool) -> Result<Self> {
        let host = network.map_or_else(|| "127.0.0.1".to_owned(), |network| network.host(number));
        let (client_port, control_port, peer_port) = (free_port()?, free_port()?, free_port()?);
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut member = Self {
            name: name.to_owned(),
            control: Control::new(&host, control_port)?,
            host,
            client_port,
            peer_port,
            folder,
            command: Vec::new(),
            process: None,
        };
        let scheme = if tls { "https" } else { "http" };
        let client = format!("{scheme}://{}:{client_port}", member.host);
        let control = format!("http://{}:{control_port}", member.host);
        let peer = member.peer_url();
        let enter = network.map_or_else(Vec::new, |network| network.enter(number).map(str::to_owned).to_vec());
        let binary = std::env::var("ETCD").unwrap_or_else(|_| "etcd".to_owned());
        let flags = vec![
            binary,
            format!("--name={name}"),
            format!("--data-dir={}", member.folder.join("data").display()),
            format!("--listen-client-urls={client},{control}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            "--heartbeat-interval=100".to_owned(),
            "--election-timeout=1000".to_owned(),
            // A killed process loses nothing that it has written: only a killed machine would.
            "--unsafe-no-fsync".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=warn".to_owned(),
            "--log-outputs=stderr".to_owned(),
        ];
        member.command = [enter, flags].concat();
        if tls {
            let (key, certificate) = certificate(&member.folder)?;
            member.command.push(format!("--key-file={}", key.display()));
            member.command.push(format!("--cert-file={}", certificate.display()));
        }
        Ok(member)
    }

    pub fn peer_url(&self) -> String {
        format!("http://{}:{}", self.host, self.peer_port)
    }

    /// Its data is gone, and it joins a cluster that is there the next time it starts.
    pub fn forget(&mut self) -> Result<()> {
        fs::remove_dir_all(self.folder.join("data"))?;
        self.command.push("--initial-cluster-state=existing".to_owned());
        Ok(())
    }

    /// Starts the process, on the data that is there.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "member {} is running already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let mut command = Command::new(&self.command[0]);
        // etcd would take its environment for flags.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD_")) {
            command.env_remove(name);
        }
        let process = command
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the suite alone, which then ends the members.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.command[0]))?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL; returns when the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// SIGSTOP.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(id) = self.process.as_ref().and_then(Child::id) {
            kill(Pid::from_raw(id.cast_signed()), signal)?;
        }
        Ok(())
    }

    /// The end of what the server has written.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Runs etcdctl, and returns what it prints.
pub async fn etcdctl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("etcdctl")
        .args(arguments)
        .output()
        .await
        .context("no etcdctl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "etcdctl {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes a key and a certificate that vouches for itself.
fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=faults -addext subjectAltName=IP:127.0.0.1".split(' '),
        )
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("no openssl")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "openssl: {said}");
    Ok((key, certificate))
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
