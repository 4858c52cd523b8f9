//! Heads as a server compresses them, beside what stands in them: the fields that are read are those that were written,
//! and what was written wrongly is refused.
//!
//! In: steps of a server that writes. Out: a panic where something else is read.

use std::collections::VecDeque;

use super::decoder::Malformed;
use super::*;
use crate::etcd::fuzz::Input;

/// Writes the heads that `data` stands for, and reads them.
pub fn drive(data: &[u8]) {
    let mut input = Input(data);
    let mut server = Server {
        table: VecDeque::new(),
        limit: TABLE,
    };
    let mut decoder = Decoder::default();
    while !input.is_over() {
        let (block, written) = server.head(&mut input);
        let read = decoder.decode(&block);
        assert!(decoder.is_bounded());
        match (read, written) {
            (read, Ok(fields)) => assert!(read.is_ok_and(|read| is(&read, &fields)), "{block:x?}: {fields:?}"),
            (read, Err(Wrong::Refused)) => return assert_eq!(read, Err(Malformed), "{block:x?}"),
            // Nobody knows what the table has now.
            (_, Err(Wrong::Anything)) => return,
        }
    }
}

type Text = (Vec<u8>, Vec<u8>);

/// Why there are no fields to be expected.
enum Wrong {
    Refused,
    Anything,
}

/// Has the head that was read the fields that were written?
fn is(read: &Fields, fields: &[Text]) -> bool {
    // What lies beyond the longest list may be left out.
    let size: usize = fields.iter().map(size).sum();
    let first = |name: &str| fields.iter().find(|(known, _)| known == name.as_bytes());
    let expected = [
        ":status",
        "content-type",
        "grpc-encoding",
        "grpc-status",
        "grpc-message",
    ]
    .map(first);
    let found = [
        &read.status,
        &read.content_type,
        &read.grpc_encoding,
        &read.grpc_status,
        &read.grpc_message,
    ];
    let is_same = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.as_deref() == expected.map(|(_, value)| &value[..]));
    let is_wrong = |(at, (name, _)): (usize, &Text)| match &name[..] {
        b":status" => at > 0,
        [] | [b':', ..] => true,
        name => {
            let forbidden = [
                "connection",
                "keep-alive",
                "proxy-connection",
                "transfer-encoding",
                "upgrade",
            ];
            name.iter().any(u8::is_ascii_uppercase) || forbidden.iter().any(|one| one.as_bytes() == name)
        }
    };
    read.is_too_large() == (size > LIST)
        && (size > LIST || is_same)
        && read.is_malformed() == fields.iter().enumerate().any(is_wrong)
}

fn size((name, value): &Text) -> usize {
    name.len() + value.len() + OVERHEAD
}

/// A server as RFC 7541 has it.
struct Server {
    /// The newest first.
    table: VecDeque<Text>,
    limit: usize,
}

impl Server {
    /// Writes a head. Says what stands in it.
    fn head(&mut self, input: &mut Input<'_>) -> (Vec<u8>, Result<Vec<Text>, Wrong>) {
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        loop {
            match input.byte() % 16 {
                0..5 => {
                    let number = self.number(input);
                    integer(number, INDEXED, &mut block);
                    match self.known(number) {
                        Some(field) => fields.push(field),
                        None => return (block, Err(Wrong::Refused)),
                    }
                }
                choice @ 5..11 => {
                    let kind = [INSERTED, INSERTED, INSERTED, INSERTED, PLAIN, NEVER][usize::from(choice) - 5];
                    let number = if input.below(2) == 0 { 0 } else { self.number(input) };
                    integer(number, kind, &mut block);
                    let name = match (number, self.known(number)) {
                        (0, _) => string(input, &mut block),
                        (_, Some((name, _))) => name,
                        (_, None) => return (block, Err(Wrong::Refused)),
                    };
                    let field = (name, string(input, &mut block));
                    if kind == INSERTED {
                        self.table.push_front(field.clone());
                        self.shrink();
                    }
                    fields.push(field);
                }
                11 => {
                    let limit = [0, 40, 100, 1000, TABLE, TABLE + 1][input.below(6)];
                    integer(limit, RESIZED, &mut block);
                    if limit > TABLE || !fields.is_empty() {
                        return (block, Err(Wrong::Refused));
                    }
                    self.limit = limit;
                    self.shrink();
                }
                12 => {
                    let length = usize::from(input.byte()).min(input.0.len());
                    block.extend(input.0.split_off(..length).unwrap_or_default());
                    return (block, Err(Wrong::Anything));
                }
                _ => return (block, Ok(fields)),
            }
        }
    }

    /// One of a field that there is, mostly.
    fn number(&self, input: &mut Input<'_>) -> usize {
        match input.byte() {
            255 => 1 << 20,
            number => usize::from(number) % (KNOWN.len() + self.table.len() + 2),
        }
    }

    fn known(&self, number: usize) -> Option<Text> {
        let number = number.checked_sub(1)?;
        match KNOWN.get(number) {
            Some((name, value)) => Some((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            None => self.table.get(number - KNOWN.len()).cloned(),
        }
    }

    fn shrink(&mut self) {
        while self.table.iter().map(size).sum::<usize>() > self.limit {
            self.table.pop_back();
        }
    }
}

/// Writes a string, packed or not.
fn string(input: &mut Input<'_>, block: &mut Vec<u8>) -> Vec<u8> {
    let choice = input.byte();
    let text = match choice {
        0..160 => {
            let length = usize::from(choice / 4).min(input.0.len());
            input.0.split_off(..length).unwrap_or_default().to_vec()
        }
        160..200 => {
            let names = [
                "grpc-status",
                "grpc-message",
                "grpc-encoding",
                "content-type",
                ":status",
                "upgrade",
            ];
            names[input.below(6)].as_bytes().to_vec()
        }
        _ => vec![input.byte(); usize::from(choice - 199) * 80],
    };
    let (bytes, first) = match choice & 1 {
        0 => (text.clone(), 0),
        _ => (huffman::encode(&text), PACKED),
    };
    integer(bytes.len(), (first, LENGTH), block);
    block.extend(bytes);
    text
}

/// Writes a number as RFC 7541 has it, in section 5.1.
fn integer(mut number: usize, (first, bits): (u8, u32), block: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    block.push(first | number.min(most) as u8);
    if let Some(rest) = number.checked_sub(most) {
        number = rest;
        while number >= 128 {
            block.push((number % 128 + 128) as u8);
            number /= 128;
        }
        block.push(number as u8);
    }
}
