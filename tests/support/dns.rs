//! A name server of a test: it knows the services that the test tells it, and that all hosts are this one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::{A, Srv};
use tokio::net::UdpSocket;

/// What it responds to questions for a service.
#[derive(Clone)]
pub(crate) enum Zone {
    /// For so many seconds it is served there, each with its priority, weight, host and port.
    Served(u32, Vec<(u16, u16, &'static str, u16)>),
    /// It is decidedly not there.
    Nowhere,
    /// It cannot say.
    Broken,
}

type Zones = Arc<Mutex<HashMap<String, Zone>>>;

/// The name server.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zones: Zones,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (zones, asked) = (Zones::default(), Arc::<Mutex<Vec<String>>>::default());
        let address = socket.local_addr().unwrap();
        tokio::spawn(serve(socket, zones.clone(), asked.clone()));
        Self { address, zones, asked }
    }

    /// The service of this name is there from now on.
    pub(crate) fn set(&self, name: &str, zone: Zone) {
        self.zones.lock().unwrap().insert(name.to_owned(), zone);
    }

    /// The services that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(socket: UdpSocket, zones: Zones, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_octets(&buffer[..length]).unwrap();
        let question = query.sole_question().unwrap();
        let name = question.qname().to_string();
        let builder = || MessageBuilder::new_vec();
        let message = match question.qtype() {
            Rtype::A => {
                let mut answer = builder().start_answer(&query, Rcode::NOERROR).unwrap();
                let address = A::new(Ipv4Addr::LOCALHOST);
                answer
                    .push((question.qname(), Class::IN, Ttl::from_secs(1), address))
                    .unwrap();
                answer.finish()
            }
            Rtype::SRV => {
                asked.lock().unwrap().push(name.clone());
                let zone = zones.lock().unwrap().get(&name).cloned();
                let code = match zone {
                    Some(Zone::Broken) => Rcode::SERVFAIL,
                    Some(Zone::Served(..)) => Rcode::NOERROR,
                    Some(Zone::Nowhere) | None => Rcode::NXDOMAIN,
                };
                let mut answer = builder().start_answer(&query, code).unwrap();
                if let Some(Zone::Served(ttl, targets)) = zone {
                    for (priority, weight, host, port) in targets {
                        let host: Name<Vec<u8>> = host.parse().unwrap();
                        let srv = Srv::new(priority, weight, port, host);
                        answer
                            .push((question.qname(), Class::IN, Ttl::from_secs(ttl), srv))
                            .unwrap();
                    }
                }
                answer.finish()
            }
            _ => builder().start_answer(&query, Rcode::NOERROR).unwrap().finish(),
        };
        socket.send_to(&message, from).await.unwrap();
    }
}
