//! The race between the addresses of a host, of which some may be dead.
//!
//! In: a name and a port, and how to connect to an address. Out: the first connection that is ready to be used: an
//! address that takes TCP and then says nothing, or fails in TLS, does not win. Runs on the runtime; nothing goes on
//! when the caller stops waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep_until};

use super::dns::Dns;
use super::error::ConnectError;

/// By so much an address is tried before the next, as RFC 8305 has it.
const HEAD_START: Duration = Duration::from_millis(250);

/// After so long all addresses are tried once more beside the attempts that go on: a slow line needs its time, and a
/// server that has come back would wait for TCP to repeat itself.
const ROUND: Duration = Duration::from_secs(5);

/// The addresses of a host, those behind `last` first: that one has failed.
pub(super) async fn lookup(dns: &Dns, host: &str, port: u16, last: Option<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<_> = match dns.knows_hosts() {
        true => dns.host(host, port).await?,
        false => lookup_host((host, port)).await?.collect(),
    };
    rotate(&mut addresses, last);
    Ok(addresses)
}

fn rotate(addresses: &mut [SocketAddr], last: Option<SocketAddr>) {
    if let Some(at) = addresses.iter().position(|address| Some(*address) == last) {
        addresses.rotate_left(at + 1);
    }
}

/// Connects to the addresses in their order, each a little after the one before, and as soon as all others have failed.
/// The error is the one that leaves the most hope, and of several such the last.
pub(super) async fn race<C, T>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> C) -> Result<T, ConnectError>
where
    C: Future<Output = Result<T, ConnectError>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    let mut untried = addresses.iter();
    let mut round = Instant::now() + ROUND;
    let mut next = Instant::now();
    loop {
        if attempts.is_empty() || next <= Instant::now() {
            match untried.next() {
                Some(address) => {
                    attempts.push(connect(*address));
                    next = Instant::now() + HEAD_START;
                }
                None if attempts.is_empty() => {
                    let none = || ConnectError::Socket("the name has no address".into());
                    return Err(failure.unwrap_or_else(none));
                }
                None if round <= Instant::now() => {
                    (untried, round) = (addresses.iter(), Instant::now() + ROUND);
                    continue;
                }
                None => next = round,
            }
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    failure = Some(worse(failure, error));
                    next = Instant::now();
                }
            },
            () = sleep_until(next) => {}
        }
    }
}

/// Of two errors the one that another attempt may get past.
fn worse(before: Option<ConnectError>, error: ConnectError) -> ConnectError {
    match (before, error) {
        (Some(ConnectError::Socket(text)), ConnectError::Tls(_)) => ConnectError::Socket(text),
        (_, error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::{sleep, timeout};

    use super::*;

    fn socket() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    #[tokio::test]
    async fn an_address_that_is_dead_does_not_hide_the_next() {
        let refusing = socket();
        let (refuses, silent) = (refusing.local_addr().unwrap(), socket());
        let swallows = silent.local_addr().unwrap();
        let _listener = silent.listen(0).unwrap();
        // The length of a queue of none is up to the operating system.
        let mut queue = Vec::new();
        while let Ok(waiting) = timeout(Duration::from_millis(500), TcpStream::connect(swallows)).await {
            queue.push(waiting.unwrap());
        }
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lives = living.local_addr().unwrap();
        let connect = |address| async move { Ok(TcpStream::connect(address).await?) };
        for dead in [refuses, swallows] {
            let socket = race(&[dead, lives], connect).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), lives);
        }
        let refused = race(&[refuses, refuses], connect).await.unwrap_err();
        assert_eq!(refused, ConnectError::Socket("connection refused".into()));
        assert!(race(&[], connect).await.is_err());
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// What an address does, and how long that takes: it is ready, fails, or says nothing.
    #[derive(Clone)]
    enum Peer {
        Ready(Duration),
        Fails(Duration, ConnectError),
        Silent,
    }

    fn refused(text: &str) -> ConnectError {
        ConnectError::Socket(text.into())
    }

    fn untrusted(text: &str) -> ConnectError {
        ConnectError::Tls(text.into())
    }

    fn addresses(count: usize) -> Vec<SocketAddr> {
        (0..count)
            .map(|i| SocketAddr::from(([127, 0, 0, 1], i as u16 + 1)))
            .collect()
    }

    /// Has these race. Returns which won, or the error, and when.
    async fn run(peers: &[Peer]) -> (Result<usize, ConnectError>, Duration) {
        let began = Instant::now();
        let connect = |address: SocketAddr| async move {
            let at = usize::from(address.port()) - 1;
            match peers[at].clone() {
                Peer::Ready(after) => {
                    sleep(after).await;
                    Ok(at)
                }
                Peer::Fails(after, error) => {
                    sleep(after).await;
                    Err(error)
                }
                Peer::Silent => pending().await,
            }
        };
        (race(&addresses(peers.len()), connect).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_is_ready_wins() {
        use Peer::{Fails, Ready, Silent};
        let at_once = Duration::ZERO;
        for (peers, winner, after) in [
            (vec![Ready(at_once), Ready(at_once)], 0, at_once),
            (vec![Silent, Ready(at_once)], 1, HEAD_START),
            (vec![Fails(at_once, untrusted("name")), Ready(at_once)], 1, at_once),
            (vec![Fails(at_once, refused("no")), Ready(at_once)], 1, at_once),
            (
                vec![
                    Silent,
                    Fails(at_once, untrusted("name")),
                    Fails(at_once, refused("no")),
                    Ready(at_once),
                ],
                3,
                HEAD_START,
            ),
            (
                vec![Fails(SECOND, refused("late")), Silent, Ready(SECOND)],
                2,
                HEAD_START * 2 + SECOND,
            ),
            // A slow line is not left for that.
            (vec![Ready(SECOND), Silent], 0, SECOND),
            (vec![Ready(SECOND * 12), Silent], 0, SECOND * 12),
        ] {
            assert_eq!(run(&peers).await, (Ok(winner), after));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_has_its_turn_however_many_there_are() {
        let mut peers = vec![Peer::Silent; 40];
        peers.push(Peer::Ready(Duration::ZERO));
        assert_eq!(run(&peers).await, (Ok(40), HEAD_START * 40));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_that_leaves_the_most_hope_is_told() {
        let fails = |errors: &[ConnectError]| -> Vec<_> {
            let fail = |error: &ConnectError| Peer::Fails(SECOND / 100, error.clone());
            errors.iter().map(fail).collect()
        };
        for (errors, told) in [
            (vec![refused("a"), refused("b")], refused("b")),
            (vec![untrusted("a"), untrusted("b")], untrusted("b")),
            (vec![untrusted("a"), refused("b")], refused("b")),
            (vec![refused("a"), untrusted("b")], refused("a")),
            (vec![refused("a"), untrusted("b"), untrusted("c")], refused("a")),
        ] {
            assert_eq!(run(&fails(&errors)).await.0, Err(told));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_back_is_found_beside_one_that_is_silent() {
        for comes_back in [SECOND, SECOND * 7] {
            let began = Instant::now();
            let connect = |address: SocketAddr| async move {
                match address.port() {
                    1 => pending().await,
                    _ if began.elapsed() < comes_back => Err(refused("not yet")),
                    _ => Ok(()),
                }
            };
            race(&addresses(2), connect).await.unwrap();
            let rounds = comes_back.as_secs().div_ceil(ROUND.as_secs()) as u32;
            assert_eq!(began.elapsed(), ROUND * rounds + HEAD_START);
        }
    }

    #[test]
    fn the_address_that_failed_last_is_tried_last() {
        let [a, b, c] = addresses(3)[..] else { unreachable!() };
        for (last, expected) in [
            (None, [a, b, c]),
            (Some(a), [b, c, a]),
            (Some(b), [c, a, b]),
            (Some(c), [a, b, c]),
            (Some(addresses(9)[8]), [a, b, c]),
        ] {
            let mut rotated = [a, b, c];
            rotate(&mut rotated, last);
            assert_eq!(rotated, expected);
        }
    }
}
