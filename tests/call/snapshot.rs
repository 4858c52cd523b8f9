//! Snapshots from a real etcd over a line that cuts or changes what passes: there is all of it under its name, or no
//! file. Needs `ETCD_ENDPOINTS`, as `make test` sets it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use silly_etcd::etcd::{CallOptions, Client, Complete, Piece, Readable, Result, SnapshotTo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;

use super::support::{ONCE, client, etcd, listen, ports};

/// How often the line does something to a snapshot.
const ROUNDS: u64 = 60;

/// What a line does to the byte at a place of the response.
#[derive(Clone, Copy)]
enum Harm {
    Cut,
    Flip(u8),
}

/// Passes everything on, until the byte at this place comes from the server.
async fn harm(mut client: TcpStream, server: SocketAddr, at: usize, harm: Harm) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut from_server, mut to_server) = server.split();
    let (mut from_client, mut to_client) = client.split();
    let down = async {
        let mut left = at;
        let mut bytes = vec![0; 64 << 10];
        loop {
            let Ok(length @ 1..) = from_server.read(&mut bytes).await else {
                return;
            };
            if let Some(byte) = bytes[..length].get_mut(left) {
                match harm {
                    Harm::Cut => {
                        let _ = to_client.write_all(&bytes[..left]).await;
                        return;
                    }
                    Harm::Flip(bits) => *byte ^= bits,
                }
            }
            left = left.checked_sub(length).unwrap_or(usize::MAX);
            if to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}

/// Takes a snapshot to `file`.
async fn take(client: &Client, file: &Path) -> Result<Complete> {
    let to = SnapshotTo {
        file: Some(file.to_owned()),
        idle: Duration::from_secs(2),
    };
    let snapshot = client.maintenance().snapshot(to, CallOptions { retry: 0, ..ONCE });
    loop {
        if let Piece::Complete(complete) = snapshot.read().await? {
            return Ok(complete);
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_was_harmed_on_its_way_gets_no_name() {
    let etcd = etcd();
    let folder = std::env::temp_dir().join(format!("silly-etcd-snapshot-{}", fastrand::u64(..)));
    fs::create_dir(&folder).unwrap();
    let file = folder.join("store");
    let whole = take(&client(&[etcd], ONCE), &file).await.unwrap();
    let mut failed = 0;
    for round in 0..ROUNDS {
        fs::remove_file(&file).ok();
        let at = fastrand::usize(..usize::try_from(whole.bytes).unwrap());
        let what = match round % 2 {
            0 => Harm::Cut,
            _ => Harm::Flip(1 << fastrand::u8(..8)),
        };
        let line = listen(ports(1).await, move |_, client| harm(client, etcd, at, what));
        match take(&client(&line, ONCE), &file).await {
            // A bit of a frame's head may say nothing.
            Ok(complete) => assert_eq!(fs::read(&file).unwrap().len() as u64, complete.bytes, "{at}"),
            Err(_) => {
                assert!(!file.exists(), "{at}");
                failed += 1;
            }
        }
        assert!(!folder.join("store.part").exists(), "{at}");
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(failed > ROUNDS / 2, "{failed}");
}
