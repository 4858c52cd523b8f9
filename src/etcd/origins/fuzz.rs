//! Responses of name servers, to the list of servers that follows: each can be asked for, and none is there twice.
//!
//! In: the bytes of a response. Out: a panic where the list is none.

use super::*;
use crate::etcd::transport::dns;

/// Reads the bytes as the response for a service.
pub fn drive(response: &[u8]) {
    let Some(Ok((targets, _))) = dns::read(response) else {
        return;
    };
    let service = Service {
        domain: "example.com".to_owned(),
        cluster: None,
    };
    let mut origins = Origins::new(vec![Address::Srv(service.clone())]);
    origins.found(&service, targets.clone());
    let entries = origins.entries();
    assert!(!entries.is_empty() && entries.is_sorted_by_key(|entry| entry.rank));
    for (at, entry) in entries.iter().enumerate() {
        assert!(!entries[..at].iter().any(|before| before.address == entry.address));
        assert_eq!(targets.is_empty(), entry.address == Address::Srv(service.clone()));
    }
    for target in targets {
        assert!(target.port != 0 && !target.host.is_empty() && target.host == target.host.to_ascii_lowercase());
        assert!(dns::is_name(&target.host), "{:?}", target.host);
        let place = Address::Tcp {
            host: target.host,
            port: target.port,
        };
        assert!(entries.iter().any(|entry| entry.address == place));
    }
}
