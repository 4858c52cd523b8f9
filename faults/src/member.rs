//! One etcd member: a process with a data folder of its own, on loopback or in a namespace of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::cluster::free_port;
use crate::control::Control;
use crate::net::Network;

/// One member, running or not.
pub struct Member {
    pub name: String,
    pub host: String,
    /// Where clients are served; with TLS, if the cell wants that.
    pub client_port: u16,
    pub control: Control,
    peer_port: u16,
    pub folder: PathBuf,
    /// The program and its arguments.
    pub command: Vec<String>,
    process: Option<Child>,
}

impl Member {
    /// One that has not been started.
    pub fn new(number: usize, name: &str, folder: &Path, network: Option<&Network>, tls: bool) -> Result<Self> {
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

    /// Does the process run?
    pub fn runs(&self) -> bool {
        self.process.is_some()
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

    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(id) = self.process.as_ref().and_then(Child::id) {
            kill(Pid::from_raw(id.cast_signed()), signal)?;
        }
        Ok(())
    }

    /// The end of what the server has written.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
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
