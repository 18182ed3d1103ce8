use bytes::BytesMut;
use kafka_protocol::messages;
use kafka_protocol::protocol::{Decodable, Encodable};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::*;
use crate::error::Fault;
use crate::rope::Rope;

fn theirs(
    header_version: i16,
    client_id: Option<&str>,
    tag: Option<(i32, &'static [u8])>,
) -> Bytes {
    let mut header = messages::RequestHeader::default()
        .with_request_api_key(1)
        .with_request_api_version(if header_version == 2 { 12 } else { 11 })
        .with_correlation_id(-7)
        .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
    if let Some((number, value)) = tag {
        header = header.with_unknown_tagged_field(number, Bytes::from_static(value));
    }
    let mut frame = BytesMut::new();
    header.encode(&mut frame, header_version).unwrap();
    frame.extend_from_slice(b"body");
    frame.freeze()
}

#[test]
fn reads_what_the_crate_writes() {
    for header_version in [1, 2] {
        for client_id in [None, Some(""), Some("rdkafka")] {
            let tag = (header_version == 2).then_some((9, b"later".as_slice()));
            let frame = theirs(header_version, client_id, tag);
            let (header, body) = parse_request(frame).unwrap();
            assert_eq!((header.api_key, header.correlation_id), (1, -7));
            assert_eq!(header.client_id.as_deref(), client_id);
            assert_eq!(&body[..], b"body");
        }
    }
}

#[test]
fn the_crate_reads_what_we_write() {
    for (api_version, header_version) in [(11, 1), (12, 2)] {
        let header = RequestHeader {
            api_key: 1,
            api_version,
            correlation_id: 42,
            client_id: Some("tide".into()),
        };
        let mut writer = Writer::new();
        write_request(&mut writer, &header).unwrap();
        let mut bytes = Rope::from(writer.into_chunks().unwrap()).to_bytes();
        assert_eq!(
            parse_request(bytes.clone()).unwrap(),
            (header, Bytes::new())
        );
        let theirs = messages::RequestHeader::decode(&mut bytes, header_version).unwrap();
        assert_eq!(theirs.client_id.as_deref(), Some("tide"));
        assert!(bytes.is_empty());
    }
}

#[test]
fn response_headers() {
    for (key, version, expected) in [
        (1, 11, [0, 0, 0, 5].as_slice()),
        (1, 12, &[0, 0, 0, 5, 0]),
        (18, 4, &[0, 0, 0, 5]),
        (16_000, 0, &[0, 0, 0, 5, 0]),
    ] {
        let mut writer = Writer::new();
        write_response(&mut writer, key, version, 5).unwrap();
        let bytes = Rope::from(writer.into_chunks().unwrap()).to_bytes();
        assert_eq!(&bytes[..], expected);
        assert_eq!(parse_response(key, version, bytes), Ok((5, Bytes::new())));
    }
}

#[test]
fn bad_headers_are_errors() {
    let parse = |bytes: &[u8]| parse_request(Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(
        parse(&[0x7f, 0xff, 0, 0, 0, 0, 0, 0]),
        WireError::UnknownApi(0x7fff)
    );
    for (bytes, fault) in [
        (&[0, 1, 0][..], Fault::Truncated { needed: 2, left: 1 }),
        (
            &[0, 1, 0, 4, 0, 0, 0, 1, 0xff, 0xfe],
            Fault::NegativeLength(-2),
        ),
        (
            &[0, 1, 0, 4, 0, 0, 0, 1, 0, 9],
            Fault::Truncated { needed: 9, left: 0 },
        ),
        (
            &[0, 1, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 9],
            Fault::CountExceedsBytes { count: 9, left: 0 },
        ),
    ] {
        match parse(bytes) {
            WireError::Header(malformed) => assert_eq!(malformed.fault, fault),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_client_id_that_is_not_text_is_replaced() {
    let frame = Bytes::from_static(&[0, 1, 0, 4, 0, 0, 0, 1, 0, 2, b'k', 0xff]);
    let (header, _) = parse_request(frame).unwrap();
    assert_eq!(header.client_id.as_deref(), Some("k\u{fffd}"));
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..50_000 {
        let mut bytes = vec![0; rng.random_range(0..40)];
        rng.fill_bytes(&mut bytes);
        if bytes.len() > 2 {
            // Keys in use, so that most runs get past the first check.
            bytes[0] = 0;
            bytes[1] %= 93;
        }
        let _ = parse_request(bytes.clone().into());
        let _ = parse_response(1, 12, bytes.into());
    }
}
