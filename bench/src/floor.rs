//! The floor of a call: the same calls as pre-baked HTTP/2 frames over one connection, whose responses are counted and
//! not read. What is left is what the kernel and the wire cost; no client of etcd can be there.
//!
//! In: as for every contender, see README.md; the operations `put` and `get`. It runs on one thread, which blocks.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, bail, ensure};
use prost::Message;

use crate::canned::pb::etcdserverpb::{PutRequest, RangeRequest};
use crate::data;
use crate::task::{Task, done, ready};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The HPACK table of responses has no room, as nobody reads them; streams have the largest window.
const SETTINGS_PAYLOAD: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff];
/// By how much the connection's window is enlarged at first. Later it is by what has come, once that is half of this.
const WINDOW: u32 = 1 << 30;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The head of a call whose fields are in the server's table.
const INDEXED_HEAD: &[u8] = &[0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];

pub fn run(task: &Task) -> Result<()> {
    let mut floor = Floor::connect(task)?;
    floor.calls(task.n / 10, task.callers)?;
    ready()?;
    floor.calls(task.n, task.callers)?;
    done(task.n)
}

struct Floor {
    socket: TcpStream,
    /// Of the next call; that of the first puts its fields into the server's table.
    head: Vec<u8>,
    body: Vec<u8>,
    stream: u32,
    output: Vec<u8>,
    /// The first `filled` bytes are a frame that has not come completely.
    input: Vec<u8>,
    filled: usize,
    /// What has come since the connection's window was enlarged.
    received: u32,
    /// How many messages have come; a failed call has none.
    messages: usize,
}

impl Floor {
    fn connect(task: &Task) -> Result<Self> {
        let (path, message) = match &task.operation[..] {
            "put" => ("/etcdserverpb.KV/Put", put().encode_to_vec()),
            "get" => ("/etcdserverpb.KV/Range", get().encode_to_vec()),
            other => bail!("the floor has no {other}"),
        };
        let socket = TcpStream::connect(&task.endpoint)?;
        socket.set_nodelay(true)?;
        let mut output = PREFACE.to_vec();
        frame(&mut output, SETTINGS, 0, 0, SETTINGS_PAYLOAD);
        frame(&mut output, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        Ok(Self {
            socket,
            head: first_head(path),
            body,
            stream: 1,
            output,
            input: vec![0; 1 << 20],
            filled: 0,
            received: 0,
            messages: 0,
        })
    }

    /// Makes `n` calls, `callers` of them at a time.
    fn calls(&mut self, n: usize, callers: usize) -> Result<()> {
        self.messages = 0;
        let (mut sent, mut ended) = (0, 0);
        let mut due = callers.min(n);
        while ended < n {
            for _ in 0..due {
                self.call();
            }
            sent += due;
            self.socket.write_all(&self.output)?;
            self.output.clear();
            let now = self.receive()?;
            ended += now;
            due = now.min(n - sent);
        }
        ensure!(self.messages == n, "{} of {n} calls have succeeded", self.messages);
        Ok(())
    }

    /// Appends the frames of a call. The server's window is not looked at: what is under way is less than the 64 KiB
    /// that every connection has.
    fn call(&mut self) {
        frame(&mut self.output, HEADERS, END_HEADERS, self.stream, &self.head);
        frame(&mut self.output, DATA, END_STREAM, self.stream, &self.body);
        self.stream += 2;
        if self.head != INDEXED_HEAD {
            self.head = INDEXED_HEAD.to_vec();
        }
    }

    /// Takes what has come, and returns how many calls it ends.
    fn receive(&mut self) -> Result<usize> {
        let length = self.socket.read(&mut self.input[self.filled..])?;
        ensure!(length > 0, "the server has closed the connection");
        self.filled += length;
        let mut ended = 0;
        let mut rest = &self.input[..self.filled];
        while let Some(&[a, b, c, kind, flags, ..]) = rest.first_chunk::<9>() {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = rest.get(9..end) else { break };
            match kind {
                SETTINGS if flags & ACK == 0 => frame(&mut self.output, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, 0, payload),
                DATA => {
                    self.received += payload.len() as u32;
                    self.messages += 1;
                }
                HEADERS if flags & END_STREAM != 0 => ended += 1,
                // A server that responds before it has seen the request's end adds one with NO_ERROR.
                RST_STREAM if payload == [0; 4] => {}
                RST_STREAM | GOAWAY => bail!("the server has sent a frame of type {kind}"),
                _ => {}
            }
            rest = &rest[end..];
        }
        if self.received > WINDOW / 2 {
            frame(&mut self.output, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        let left = rest.len();
        self.input.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        Ok(ended)
    }
}

fn put() -> PutRequest {
    PutRequest {
        key: data::key("bench/put/", 1).into(),
        value: data::value(data::SMALL).into(),
        ..Default::default()
    }
}

fn get() -> RangeRequest {
    RangeRequest {
        key: data::ONE.into(),
        ..Default::default()
    }
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    output.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    output.extend([kind, flags]);
    output.extend(stream.to_be_bytes());
    output.extend(payload);
}

/// The head of the first call: POST and http from HPACK's own table, and four fields that the server shall keep.
fn first_head(path: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x86];
    let fields = [
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    for (name, value) in fields {
        head.push(0x40);
        for text in [name, value] {
            head.push(text.len() as u8);
            head.extend(text.as_bytes());
        }
    }
    head
}
