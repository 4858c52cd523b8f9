//! What stands between the clients and the members, and the addresses by which the clients know the members.

use anyhow::Result;
use silly_etcd::etcd::Address;

use crate::cells::Way;
use crate::cluster::Cluster;
use crate::proxy::{Balancer, GrpcProxy, Http2Proxy, Proxy, Rules};

/// Gone when it is dropped. Of the proxies there are those of the cell's way.
pub struct Front {
    pub proxies: Vec<Proxy>,
    pub http2: Vec<Http2Proxy>,
    pub grpc: Option<GrpcProxy>,
    _balancer: Option<Balancer>,
    /// Of each member, or one of all.
    addresses: Vec<Address>,
}

impl Front {
    /// What the clients see of this cluster.
    pub async fn start(way: Way, cluster: &Cluster) -> Result<Self> {
        let targets = || {
            cluster
                .members
                .iter()
                .map(|member| (member.host.clone(), member.client_port))
        };
        let mut front = Self {
            proxies: Vec::new(),
            http2: Vec::new(),
            grpc: None,
            _balancer: None,
            addresses: Vec::new(),
        };
        match way {
            Way::Direct | Way::Network => front.direct(targets()),
            Way::Middlebox if cluster.network.is_some() => front.direct(targets()),
            Way::Proxies | Way::Tls | Way::Middlebox => {
                for (_, port) in targets() {
                    let proxy = Proxy::start(port).await?;
                    front.addresses.push(local(proxy.port));
                    front.proxies.push(proxy);
                }
            }
            Way::Http2(rules) => {
                for (_, port) in targets() {
                    let proxy = Http2Proxy::start(port, rules).await?;
                    front.addresses.push(local(proxy.port));
                    front.http2.push(proxy);
                }
            }
            Way::Grpc => {
                let proxy = GrpcProxy::start(targets()).await?;
                front.addresses.push(local(proxy.port));
                front.grpc = Some(proxy);
            }
            Way::Balancer => {
                let balancer = Balancer::start(targets().collect()).await?;
                front.addresses.push(local(balancer.port));
                front._balancer = Some(balancer);
            }
        }
        Ok(front)
    }

    fn direct(&mut self, targets: impl Iterator<Item = (String, u16)>) {
        self.addresses = targets.map(|(host, port)| Address::Tcp { host, port }).collect();
    }

    /// The addresses of these members, each once.
    pub fn addresses(&self, members: impl IntoIterator<Item = usize>) -> Vec<Address> {
        let mut found: Vec<Address> = Vec::new();
        for member in members {
            let address = &self.addresses[member % self.addresses.len()];
            if !found.contains(address) {
                found.push(address.clone());
            }
        }
        found
    }

    /// Lets everything pass.
    pub fn heal(&self) {
        self.proxies.iter().for_each(Proxy::heal);
        self.http2
            .iter()
            .for_each(|proxy| proxy.rules(Rules::Streams(u32::MAX)));
    }
}

fn local(port: u16) -> Address {
    Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    }
}
