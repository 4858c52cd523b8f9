//! The examples of RFC 7541, appendix C, and what no peer may say.

use http::{HeaderMap, HeaderValue};

use super::decoder::Malformed;
use super::*;

#[test]
fn a_table_is_resized_before_the_fields() {
    let sizes = [&b"\x20\x3f\xe1\x1f".repeat(1000)[..], b"\x88"].concat();
    let fields = Decoder::default().decode(&sizes).unwrap();
    assert_eq!(fields.status, Some("200".into()));
}

/// C.5 and C.6: three responses with a table of 256 bytes, plain and packed.
#[test]
fn examples_of_the_rfc() {
    let limit = b"\x3f\xe1\x01";
    let plain: [&[u8]; 3] = [
        b"\x48\x03302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\x6e\x17https://www.example.com",
        b"\x48\x03307\xc1\xc0\xbf",
        b"\x88\xc1\x61\x1dMon, 21 Oct 2013 20:13:22 GMT\xc0\x5a\x04gzip\x77\x38foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];
    let packed: [&[u8]; 3] = [
        b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\
          \x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
        b"\x48\x83\x64\x0e\xff\xc1\xc0\xbf",
        b"\x88\xc1\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x84\xa6\x2d\x1b\xff\xc0\
          \x5a\x83\x9b\xd9\xab\x77\xad\x94\xe7\x82\x1d\xd7\xf2\xe6\xc7\xb3\x35\xdf\xdf\xcd\x5b\x39\x60\xd5\xaf\x27\x08\
          \x7f\x36\x72\xc1\xab\x27\x0f\xb5\x29\x1f\x95\x87\x31\x60\x65\xc0\x03\xed\x4e\xe5\xb1\x06\x3d\x50\x07",
    ];
    for blocks in [plain, packed] {
        let mut decoder = Decoder::default();
        decoder.decode(limit).unwrap();
        for (block, status) in blocks.into_iter().zip(["302", "307", "200"]) {
            let fields = decoder.decode(block);
            assert_eq!(fields.map(|fields| fields.status), Ok(Some(status.into())));
        }
    }
}

#[test]
fn the_fields_of_grpc_are_found_however_they_are_said() {
    let mut decoder = Decoder::default();
    let said = b"\x88\x5f\x10application/grpc\x40\x0bgrpc-status\x0214\x40\x0cgrpc-message\x03why\x00\x0dgrpc-encoding\x04gzip";
    let fields = decoder.decode(said).unwrap();
    let found = [
        fields.status,
        fields.content_type,
        fields.grpc_encoding,
        fields.grpc_status,
        fields.grpc_message,
    ];
    let expected = ["200", "application/grpc", "gzip", "14", "why"];
    assert_eq!(found, expected.map(|value| Some(value.into())));
    // The same from the table, and a known name with another value.
    let fields = decoder.decode(b"\x88\xc0\xbf\xbe\x0f\x30\x01x").unwrap();
    assert_eq!(
        (fields.content_type, fields.grpc_status, fields.grpc_message),
        (Some("application/grpc".into()), Some("14".into()), Some("why".into()))
    );
    let fields = decoder.decode(b"\x0f\x2f\x010").unwrap();
    assert_eq!(fields.grpc_message, Some("0".into()));
}

#[test]
fn the_first_of_two_counts() {
    let fields = Decoder::default()
        .decode(b"\x88\x8d\0\x0bgrpc-status\x010\0\x0bgrpc-status\x011")
        .unwrap();
    assert_eq!(
        (fields.status, fields.grpc_status),
        (Some("200".into()), Some("0".into()))
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    for block in [
        &b"\x80"[..],
        b"\xbe",
        b"\xff",
        b"\xff\xff\xff\xff\xff\x7f",
        b"\x40",
        b"\x40\x05name",
        b"\x40\x04name\x05valu",
        b"\x40\x84\xff\xff\xff\xff\x01v",
        b"\x7f",
        b"\x3f\xe2\x1f",
        // A new size behind a field.
        b"\x88\x20",
    ] {
        assert_eq!(Decoder::default().decode(block), Err(Malformed), "{block:x?}");
    }
}

#[test]
fn a_long_list_is_told_and_not_kept() {
    let mut decoder = Decoder::default();
    let field = [&b"\x40\x0cgrpc-message\x7f\xa1\x1e"[..], &[b'x'; 4000]].concat();
    assert!(!decoder.decode(&field).unwrap().is_too_large());
    let fields = decoder.decode(&[0xbe; 10]).unwrap();
    assert!(fields.is_too_large());
    let fields = decoder.decode(&[&[0xbe; 10][..], b"\x88"].concat()).unwrap();
    assert_eq!(fields.status, None);
}

fn encoder() -> Encoder {
    let mut fields = HeaderMap::new();
    fields.insert("te", HeaderValue::from_static("trailers"));
    Encoder::new(Constant {
        scheme: "http",
        authority: "a:1".to_owned(),
        fields,
    })
}

fn encoded(encoder: &mut Encoder, metadata: &Metadata<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.encode("/p", metadata, &mut block);
    block
}

#[test]
fn what_was_said_is_said_by_number() {
    let mut encoder = encoder();
    let nothing = Metadata::default();
    let first = b"\x83\x86\x44\x02/p\x41\x03a:1\x40\x02te\x08trailers";
    assert_eq!(encoded(&mut encoder, &nothing), first);
    for _ in 0..3 {
        assert_eq!(encoded(&mut encoder, &nothing), b"\x83\x86\xc0\xbf\xbe");
    }
    let yes = HeaderValue::from_static("true");
    let leader = Metadata {
        fields: [None, Some(("hasleader", &yes))],
        more: None,
    };
    assert_eq!(
        encoded(&mut encoder, &leader),
        b"\x83\x86\xc0\xbf\xbe\x40\x09hasleader\x04true"
    );
    assert_eq!(encoded(&mut encoder, &leader), b"\x83\x86\xc1\xc0\xbf\xbe");
    assert_eq!(encoded(&mut encoder, &nothing), b"\x83\x86\xc1\xc0\xbf");
}

#[test]
fn a_secret_is_in_no_table() {
    let mut encoder = encoder();
    let mut token = HeaderValue::from_static("hush");
    token.set_sensitive(true);
    let metadata = Metadata {
        fields: [Some(("token", &token)), None],
        more: None,
    };
    encoded(&mut encoder, &metadata);
    let again = encoded(&mut encoder, &metadata);
    assert_eq!(again, b"\x83\x86\xc0\xbf\xbe\x10\x05token\x04hush");
    // Another is not taken for it.
    let other = HeaderValue::from_static("other");
    let fields = [Some(("token", &other)), None];
    let other = encoded(&mut encoder, &Metadata { fields, more: None });
    assert!(other.ends_with(b"\x40\x05token\x05other"));
}

#[test]
fn what_one_request_says_takes_the_place_of_what_all_say() {
    let mut encoder = encoder();
    encoded(&mut encoder, &Metadata::default());
    let mut more = HeaderMap::new();
    more.insert("te", HeaderValue::from_static("x"));
    let metadata = Metadata {
        more: Some(&more),
        ..Metadata::default()
    };
    assert_eq!(encoded(&mut encoder, &metadata), b"\x83\x86\xc0\xbf\x00\x02te\x01x");
    assert_eq!(encoded(&mut encoder, &Metadata::default()), b"\x83\x86\xc0\xbf\xbe");
}

#[test]
fn a_table_is_as_large_as_the_server_wants() {
    let mut encoder = encoder();
    encoded(&mut encoder, &Metadata::default());
    encoder.resize(0);
    encoder.resize(50);
    let plain = b"\x83\x86\x44\x02/p\x41\x03a:1\x40\x02te\x08trailers";
    let told = [&b"\x20\x3f\x13"[..], plain].concat();
    assert_eq!(encoded(&mut encoder, &Metadata::default()), told);
    // There is room for one field.
    assert_eq!(encoded(&mut encoder, &Metadata::default())[..2], *b"\x83\x86");
    encoder.resize(0);
    encoded(&mut encoder, &Metadata::default());
    let plain = b"\x83\x86\x04\x02/p\x01\x03a:1\x00\x02te\x08trailers";
    assert_eq!(encoded(&mut encoder, &Metadata::default()), plain);
    // It does not use all of a huge one.
    encoder.resize(1 << 30);
    assert!(encoded(&mut encoder, &Metadata::default()).starts_with(b"\x3f\xe1\x1f\x83"));
}
