//! What DNS knows: services, by their SRV records, and hosts, where the program says whom to ask.
//!
//! In: names. Out: where they are, and for how long that may be believed. Runs on the runtime; nothing goes on when the
//! caller stops waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, Name, RecordSection};
use domain::rdata::Srv;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};

/// Where a service is served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Those with the lowest are to be asked first.
    pub(crate) priority: u16,
    /// How often one of the same priority is to be the first.
    pub(crate) weight: u16,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Whom to ask.
#[derive(Debug, Default)]
pub(crate) struct Dns {
    /// Those of the system where there is none.
    nameservers: Vec<SocketAddr>,
}

impl Dns {
    pub(crate) fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers }
    }

    /// Is it to be asked for hosts too? The system knows more of them than its name servers do.
    pub(super) fn knows_hosts(&self) -> bool {
        !self.nameservers.is_empty()
    }

    /// Where the service of this name is served, in no order, and for how long that is true.
    pub(crate) async fn service(&self, name: &str) -> io::Result<(Vec<Target>, Duration)> {
        let answer = self.resolver().query((parse(name)?, Rtype::SRV)).await?;
        targets(&answer)
    }

    /// The addresses of a host.
    pub(super) async fn host(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.resolver().lookup_host(parse(host)?).await?;
        Ok(found.port_iter(port).collect())
    }

    /// Made anew each time, since the system's configuration may have changed.
    fn resolver(&self) -> StubResolver {
        if self.nameservers.is_empty() {
            return StubResolver::new();
        }
        let server = |address: &SocketAddr| ServerConf::new(*address, Transport::UdpTcp);
        let mut conf = ResolvConf::new();
        conf.servers = self.nameservers.iter().map(server).collect();
        conf.finalize();
        StubResolver::from_conf(conf)
    }
}

/// Where the service is served that a response is about.
fn targets(answer: &Message<Bytes>) -> io::Result<(Vec<Target>, Duration)> {
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok((Vec::new(), Duration::ZERO)),
        code => return Err(io::Error::other(format!("the name server responds with {code}"))),
    }
    let broken = |error| io::Error::other(format!("the name server's response is broken: {error}"));
    let section: RecordSection<'_, _> = answer.answer().map_err(broken)?;
    let (mut targets, mut ttl) = (Vec::new(), Duration::MAX);
    for record in section.limit_to_in::<Srv<_>>() {
        let record = record.map_err(broken)?;
        let srv = record.data();
        let host = srv.target().to_string();
        ttl = ttl.min(record.ttl().into_duration());
        // A root alone says that there is no such service.
        if !host.is_empty() && host != "." && srv.port() != 0 {
            targets.push(Target {
                priority: srv.priority(),
                weight: srv.weight(),
                host: host.to_ascii_lowercase(),
                port: srv.port(),
            });
        }
    }
    Ok((targets, ttl))
}

/// Reads the bytes of a response; none where they are none.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::etcd) fn read(response: &[u8]) -> Option<io::Result<(Vec<Target>, Duration)>> {
    let response = Message::from_octets(Bytes::copy_from_slice(response)).ok()?;
    Some(targets(&response))
}

/// Can this be asked for, and is it the name that it was?
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::etcd) fn is_name(host: &str) -> bool {
    parse(host).is_ok_and(|name| name.to_string() == host)
}

fn parse(name: &str) -> io::Result<Name<Vec<u8>>> {
    name.parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("no name of a host: {error}")))
}
