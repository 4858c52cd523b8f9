//! Ways to abuse HTTP/2, and a few that are none.

use h2::Reason;

use super::server::{Bytes, Then};
use super::support::frames::{self, frame};

const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

/// A server's settings, and what comes then.
pub(crate) fn http2(rest: Vec<u8>) -> Vec<u8> {
    [frames::settings(None), rest].concat()
}

/// What a server sends at most once, with its name.
pub(crate) fn cases() -> Vec<(&'static str, Bytes)> {
    let most = (u32::MAX >> 1).to_be_bytes();
    let entry = entry();
    let garbage = [
        ("an end", vec![]),
        ("SETTINGS, then an end", http2(vec![])),
        (
            "HTTP/1.1",
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        (
            "a TLS handshake",
            b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03".to_vec(),
        ),
        (
            "a window that is too large",
            frames::settings(Some((INITIAL_WINDOW_SIZE, u32::MAX))),
        ),
        ("frames that are too small", frames::settings(Some((MAX_FRAME_SIZE, 1)))),
        ("SETTINGS of half a setting", frame(SETTINGS, 0, 0, &[0; 3])),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[])),
    ];
    let answers = [
        ("a frame larger than allowed", b"\xff\xff\xff\0\0\0\0\0\x01".to_vec()),
        ("a frame of no known type", frame(0x42, 0xff, 7, b"what")),
        ("GOAWAY", frames::goaway(0, Reason::NO_ERROR)),
        ("GOAWAY of half its length", frame(GOAWAY, 0, 0, &[0; 4])),
        ("HEADERS of a stream that nobody opened", frames::headers(7)),
        ("HEADERS of the server's own stream", frames::headers(2)),
        ("HEADERS of no stream", frames::headers(0)),
        ("HEADERS that HPACK does not know", frame(HEADERS, 4, 1, &[0xff; 20])),
        (
            "HEADERS with more padding than bytes",
            frame(HEADERS, 4 | 8, 1, &[0xff]),
        ),
        ("HEADERS without a status", frame(HEADERS, 4, 1, &[])),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])),
        ("CONTINUATION of nothing", frame(CONTINUATION, 4, 1, &[0x88])),
        ("DATA before HEADERS", frames::data(1, b"data")),
        ("DATA of a stream that nobody opened", frames::data(9, b"data")),
        ("WINDOW_UPDATE by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("PING of half its length", frame(PING, 0, 0, &[0; 4])),
        (
            "a window of the connection that overflows",
            frame(WINDOW_UPDATE, 0, 0, &most),
        ),
        ("a window of a stream that overflows", frame(WINDOW_UPDATE, 0, 1, &most)),
        (
            "a window that overflows by SETTINGS",
            [
                frame(WINDOW_UPDATE, 0, 1, &(u32::MAX >> 2).to_be_bytes()),
                frames::settings(Some((INITIAL_WINDOW_SIZE, u32::MAX >> 1))),
            ]
            .concat(),
        ),
        ("a new table size behind a field", frame(HEADERS, 4, 1, &[0x88, 0x20])),
        (
            "a number without an end",
            frame(HEADERS, 4, 1, &[&[0xff][..], &[0x80; 1000]].concat()),
        ),
        (
            "a packed string without an end",
            frame(HEADERS, 4, 1, &[&b"\x40\xff\x81\x7d"[..], &[0xff; 16_000]].concat()),
        ),
        (
            "an entry that is referred to thousands of times",
            frame(HEADERS, 4, 1, &[&entry[..], &[0xbe; 12_000]].concat()),
        ),
    ];
    let silence = [
        ("nothing", vec![], None),
        ("SETTINGS", http2(vec![]), None),
        (
            "no window, for ever",
            frames::settings(Some((INITIAL_WINDOW_SIZE, 0))),
            None,
        ),
        (
            "no header table",
            frames::settings(Some((HEADER_TABLE_SIZE, 0))),
            Some(vec![]),
        ),
        (
            "a huge header table",
            frames::settings(Some((HEADER_TABLE_SIZE, u32::MAX))),
            Some(vec![]),
        ),
        ("an answer before the request", http2(frames::headers(1)), None),
        (
            "half a frame",
            http2(vec![]),
            Some(frame(HEADERS, 4, 1, &[0x88; 100])[..50].to_vec()),
        ),
    ];
    let mut cases = Vec::new();
    let mut add = |name, first, answer, then| cases.push((name, Bytes { first, answer, then }));
    for (name, first) in garbage {
        add(name, first, None, Then::End);
    }
    for (name, answer) in answers {
        add(name, http2(vec![]), Some(answer), Then::End);
    }
    for (name, first, answer) in silence {
        add(name, first, answer, Then::Silence);
    }
    add(
        "a byte a second",
        vec![],
        None,
        Then::Trickle(http2(frames::headers(1))),
    );
    cases
}

/// Status 200, and a field of 4 KiB that has the number 62 from then on.
fn entry() -> Vec<u8> {
    [&b"\x88\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4000]].concat()
}

/// What a server sends without end.
pub(crate) fn floods() -> Vec<(&'static str, Bytes)> {
    let one = 1_u32.to_be_bytes();
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    // A frame full of settings that take each other back.
    let setting = |value: u32| [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let changing = [setting(0), setting(65_535)].concat().repeat(1300);
    let floods = [
        ("zeros", vec![], None, vec![0; 4096]),
        ("ones", vec![], None, vec![0xff; 4096]),
        (
            "SETTINGS",
            vec![],
            None,
            frames::settings(Some((INITIAL_WINDOW_SIZE, 65535))),
        ),
        ("SETTINGS of a stream", http2(vec![]), None, frame(SETTINGS, 0, 1, &[])),
        ("PING", http2(vec![]), None, frame(PING, 0, 0, &[0; 8])),
        ("PING acknowledged", http2(vec![]), None, frame(PING, 1, 0, &[0; 8])),
        (
            "GOAWAY that lets all live",
            http2(vec![]),
            Some(vec![]),
            frames::goaway(u32::MAX >> 1, Reason::NO_ERROR),
        ),
        ("WINDOW_UPDATE", http2(vec![]), None, frame(WINDOW_UPDATE, 0, 0, &one)),
        ("PRIORITY", http2(vec![]), None, frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        (
            "RST_STREAM",
            http2(vec![]),
            Some(vec![]),
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 2]),
        ),
        (
            "PUSH_PROMISE",
            http2(vec![]),
            Some(vec![]),
            frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]),
        ),
        (
            "frames of no known type",
            http2(vec![]),
            None,
            frame(0x42, 0, 0, &[0; 1000]),
        ),
        (
            "CONTINUATION",
            http2(vec![]),
            Some(frame(HEADERS, 0, 1, &[0x88])),
            frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"),
        ),
        (
            "empty CONTINUATION",
            http2(vec![]),
            Some(frame(HEADERS, 0, 1, &[0x88])),
            frame(CONTINUATION, 0, 1, &[]),
        ),
        ("HEADERS", http2(vec![]), Some(vec![]), frames::headers(1)),
        (
            "empty DATA",
            http2(vec![]),
            Some(frames::headers(1)),
            frames::data(1, &[]),
        ),
        (
            "HEADERS of a stream that is gone",
            http2(vec![]),
            Some(reset.clone()),
            frame(HEADERS, 4, 1, &[0x88; 16_000]),
        ),
        (
            "CONTINUATION of a stream that is gone",
            http2(vec![]),
            Some([reset.clone(), frame(HEADERS, 0, 1, &[0x88])].concat()),
            frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"),
        ),
        (
            "HEADERS in two frames",
            http2(vec![]),
            Some(vec![]),
            [frame(HEADERS, 0, 1, &[0x88]), frame(CONTINUATION, 4, 1, &[])].concat(),
        ),
        (
            "an entry that is referred to again and again",
            http2(vec![]),
            Some(frame(HEADERS, 4, 1, &entry())),
            frame(HEADERS, 4, 1, &[0xbe; 16_000]),
        ),
        (
            "table sizes in a row",
            http2(vec![]),
            Some(vec![]),
            frame(HEADERS, 4, 1, &[0x20; 16_000]),
        ),
        (
            "DATA of a stream that is gone",
            http2(vec![]),
            Some(reset),
            frames::data(1, &[0; 1000]),
        ),
        (
            "DATA of one byte",
            http2(vec![]),
            Some([frames::headers(1), frames::data(1, b"\0\0\0\xff\xff")].concat()),
            frames::data(1, b"x"),
        ),
        (
            "DATA beyond all windows",
            http2(vec![]),
            Some(frames::headers(1)),
            frames::data(1, &[0; 16_384]),
        ),
        (
            "a window that opens for ever",
            frames::settings(Some((INITIAL_WINDOW_SIZE, 0))),
            None,
            frame(WINDOW_UPDATE, 0, 0, &one),
        ),
        (
            "empty messages",
            http2(vec![]),
            Some(frames::headers(1)),
            frames::data(1, &[0; 5]),
        ),
    ];
    // Of a server that reads nothing.
    let deaf = [
        (
            "SETTINGS, unread",
            frames::settings(Some((INITIAL_WINDOW_SIZE, 65_535))),
        ),
        ("SETTINGS of many, unread", frame(SETTINGS, 0, 0, &changing)),
        ("PING, unread", frame(PING, 0, 0, &[0; 8])),
        ("WINDOW_UPDATE by nothing, unread", frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
    ];
    let mut cases = Vec::new();
    let mut add = |name, first, answer, then| cases.push((name, Bytes { first, answer, then }));
    for (name, first, answer, flood) in floods {
        add(name, first, answer, Then::Flood(flood));
    }
    for (name, flood) in deaf {
        add(name, http2(vec![]), None, Then::Deaf(flood));
    }
    cases
}
