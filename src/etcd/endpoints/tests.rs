//! Which server is asked, also while the servers are replaced.

use futures_util::FutureExt;

use super::*;

fn address(port: u16) -> Address {
    Address::Tcp {
        host: "h".to_owned(),
        port,
    }
}

fn entry(port: u16) -> Entry {
    Entry::new(address(port), Source::Conf, 0)
}

fn endpoints(count: u16) -> Endpoints {
    Endpoints::new((1..=count).map(entry).collect(), Common::default())
}

/// The ports of those that the route leads to.
fn ports(route: &mut Route<'_>) -> Vec<u16> {
    let port = |route: &Route<'_>| match route.endpoint().address {
        Address::Tcp { port, .. } => port,
        Address::Unix(_) | Address::Srv(_) => 0,
    };
    let mut ports = vec![port(route)];
    while route.advance() {
        ports.push(port(route));
    }
    ports.sort_unstable();
    ports
}

#[test]
fn a_route_visits_each_server_once_before_it_repeats_one() {
    let endpoints = endpoints(3);
    let mut route = endpoints.route(None);
    assert_eq!(ports(&mut route), [1, 2, 3]);
    assert!(!route.advance());
}

#[test]
fn the_server_that_answered_is_asked_first() {
    let endpoints = endpoints(3);
    let mut route = endpoints.route(None);
    route.advance();
    route.keep();
    assert_eq!(endpoints.route(None).endpoint().name, route.endpoint().name);
}

#[test]
fn a_server_of_another_cluster_is_refused_until_the_others_are_gone() {
    let endpoints = endpoints(2);
    let list = endpoints.list();
    let [old, new] = list.all() else { panic!() };
    let of = |cluster_id| ResponseHeader {
        cluster_id,
        ..ResponseHeader::default()
    };
    assert!(endpoints.recognise(old, &of(1)).is_ok());
    assert!(endpoints.recognise(new, &of(2)).is_err());
    old.fail(9);
    assert!(endpoints.recognise(new, &of(2)).is_err());
    old.fail(10);
    assert!(endpoints.recognise(new, &of(2)).is_ok());
    assert!(endpoints.recognise(new, &of(2)).is_ok());
}

#[test]
fn a_call_under_way_goes_on_to_the_servers_that_took_the_place_of_others() {
    let endpoints = endpoints(2);
    let mut route = endpoints.route(None);
    route.advance();
    assert!(endpoints.replace([3, 4, 5].map(entry).into()));
    assert!(!endpoints.replace([3, 4, 5].map(entry).into()));
    assert!(route.advance());
    assert_eq!(ports(&mut route), [3, 4, 5]);
}

#[test]
fn a_server_that_stays_is_the_same_and_is_still_asked_first() {
    let endpoints = endpoints(3);
    let before = endpoints.list();
    let stays = Entry {
        address: before.current().address.clone(),
        ..entry(0)
    };
    endpoints.replace(vec![entry(9), stays, entry(8)]);
    let now = endpoints.list();
    assert!(Arc::ptr_eq(before.current(), now.current()));
    assert_eq!(now.all().len(), 3);
}

#[test]
fn a_call_to_a_server_that_was_removed_asks_no_other() {
    let endpoints = endpoints(2);
    let one = endpoints.find(&address(2)).unwrap();
    endpoints.replace(vec![entry(3)]);
    assert_eq!(ports(&mut endpoints.route(Some(&one))), [2]);
}

#[test]
fn those_with_connections_of_their_own_follow_the_others() {
    let whole = Arc::new(endpoints(2));
    let own = whole.apart(&CancellationToken::new());
    let before = own.list();
    let mut route = own.route(None);
    assert_eq!(ports(&mut route), [1, 2]);
    assert_ne!(before.current().address, address(3));
    whole.replace(vec![entry(2), entry(3)]);
    assert_eq!(ports(&mut own.route(None)), [2, 3]);
    assert!(Arc::ptr_eq(
        &own.find(&address(2)).unwrap(),
        &before.find(&address(2)).unwrap()
    ));
    assert!(!Arc::ptr_eq(
        &own.find(&address(3)).unwrap(),
        &whole.find(&address(3)).unwrap()
    ));
    let one = whole.find(&address(3)).unwrap();
    assert!(Arc::ptr_eq(
        own.route(Some(&one)).endpoint(),
        &own.find(&address(3)).unwrap()
    ));
}

#[test]
fn a_call_begins_at_one_that_is_preferred() {
    let ranked = |port, rank| Entry { rank, ..entry(port) };
    for _ in 0..20 {
        let endpoints = Endpoints::new(vec![ranked(1, 0), ranked(2, 0), ranked(3, 1)], Common::default());
        let list = endpoints.list();
        assert!(!list.is_second_best());
        assert_eq!(list.preferred().len(), 2);
        list.prefer(&list.all()[2]);
        assert!(list.is_second_best());
        assert!(Arc::ptr_eq(endpoints.route(None).endpoint(), &list.all()[2]));
    }
}

#[test]
fn a_call_that_began_elsewhere_and_succeeds_there_moves_no_others() {
    let endpoints = endpoints(3);
    let route = endpoints.route(None);
    let list = endpoints.list();
    let other = list
        .all()
        .iter()
        .find(|other| !Arc::ptr_eq(other, route.endpoint()))
        .unwrap();
    list.prefer(other);
    route.keep();
    assert!(Arc::ptr_eq(list.current(), other));
}

#[tokio::test]
async fn a_server_that_was_removed_says_so() {
    let endpoints = endpoints(2);
    let [first, second] = [1, 2].map(|port| endpoints.find(&address(port)).unwrap());
    endpoints.replace(vec![entry(2)]);
    first.removed().await;
    assert!(second.removed().now_or_never().is_none());
}
