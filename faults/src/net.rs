//! A network for the members: a namespace each, joined by a bridge that the clients are on. Needs root and iproute2.
//!
//! A link that is cut loses every packet and resets nothing, as when a cable is pulled.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where the clients are.
const CLIENTS: u8 = 254;

/// Gone when it is dropped.
pub struct Network {
    bridge: String,
    /// Of the addresses that are set apart for tests of networks.
    subnet: String,
    names: Vec<String>,
}

impl Network {
    /// A network for so many members. Fails where this is not permitted.
    pub fn new(members: u8) -> Result<Self> {
        let mut network = Self {
            bridge: format!("sf{:06x}", fastrand::u32(..1 << 24)),
            subnet: format!("198.{}.{}", fastrand::u8(18..20), fastrand::u8(..)),
            names: Vec::new(),
        };
        let Self { bridge, subnet, .. } = &network;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add {subnet}.{CLIENTS}/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for i in 0..members {
            network.add(i)?;
        }
        Ok(network)
    }

    /// A network whose members' sides can forget connections. Needs nftables too.
    pub fn forgetful(members: u8) -> Result<Self> {
        let network = Self::new(members)?;
        for name in &network.names {
            nft(name, "add table ip forgotten")?;
            nft(name, "add chain ip forgotten in { type filter hook input priority 0; }")?;
            nft(
                name,
                "add chain ip forgotten out { type filter hook output priority 0; }",
            )?;
        }
        Ok(network)
    }

    /// Drops every packet of the clients' open connections to a member's port, for good. New ones are not touched.
    pub fn forget(&self, member: usize, port: u16) -> Result<()> {
        let name = &self.names[member];
        let clients = format!("{}.{CLIENTS}", self.subnet);
        for port in peers(name, port, &clients)? {
            nft(
                name,
                &format!("add rule ip forgotten in ip saddr {clients} tcp sport {port} drop"),
            )?;
            nft(
                name,
                &format!("add rule ip forgotten out ip daddr {clients} tcp dport {port} drop"),
            )?;
        }
        Ok(())
    }

    fn add(&mut self, i: u8) -> Result<()> {
        let name = format!("{}-{i}", self.bridge);
        let address = self.host(i.into());
        ip(&format!("netns add {name}"))?;
        self.names.push(name.clone());
        ip(&format!("link add {name} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {name} master {} up", self.bridge))?;
        ip(&format!("-n {name} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set eth0 up"))
    }

    /// A member's address.
    pub fn host(&self, member: usize) -> String {
        format!("{}.{}", self.subnet, member + 1)
    }

    /// The command that runs another in a member's namespace.
    pub fn enter(&self, member: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.names[member]]
    }

    /// Cuts a member from all others, or lets it talk to them again.
    pub fn isolate(&self, member: usize, cut: bool) -> Result<()> {
        let others = (0..self.names.len()).filter(|other| *other != member);
        others
            .map(|other| self.host(other))
            .try_for_each(|other| self.route(member, &other, cut))
    }

    /// Cuts a member from the clients, or lets it talk to them again.
    pub fn hide(&self, member: usize, cut: bool) -> Result<()> {
        self.route(member, &format!("{}.{CLIENTS}", self.subnet), cut)
    }

    fn route(&self, member: usize, address: &str, cut: bool) -> Result<()> {
        let action = if cut { "add" } else { "delete" };
        ip(&format!(
            "-n {} route {action} blackhole {address}/32",
            self.names[member]
        ))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns delete {name}"));
            // It goes with its other end, but not at once.
            let _ = ip(&format!("link delete {name}"));
        }
        let _ = ip(&format!("link delete {}", self.bridge));
    }
}

/// The other ends' ports of the connections between a member's port and that host.
fn peers(name: &str, port: u16, host: &str) -> Result<Vec<u16>> {
    let listed = run(
        "ip",
        &format!("netns exec {name} ss -Htn state established dst {host} sport = :{port}"),
    )?;
    let ports = listed
        .lines()
        .filter_map(|line| line.trim().rsplit(':').next()?.trim().parse().ok());
    Ok(ports.collect())
}

fn nft(name: &str, rule: &str) -> Result<()> {
    run("ip", &format!("netns exec {name} nft {rule}")).map(drop)
}

fn ip(arguments: &str) -> Result<()> {
    run("ip", arguments).map(drop)
}

/// Runs a command, and returns what it prints.
fn run(command: &str, arguments: &str) -> Result<String> {
    let output = Command::new(command)
        .args(arguments.split(' '))
        .output()
        .with_context(|| format!("no {command} command"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command} {arguments}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
