//! Our own messages: struct, JSON schema and bytes say the same.
//!
//! Aim: a client written from `messages/*.json` and one written against this crate exchange the same bytes.
//! Method: the field lists are compared name by name and type by type; bodies made from the schema are
//! decoded, encoded again and compared; damaged ones must fail or decode without a panic.

use crate::generator::{Generator, mutate};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;
use tidelog_protocol_ext::ext::alter_table::AlterTableRequest;
use tidelog_protocol_ext::ext::columnar_fetch::*;
use tidelog_protocol_ext::ext::columnar_produce::ColumnarProduceRequest;
use tidelog_protocol_ext::ext::describe_table::DescribeTableRequest;
use tidelog_protocol_ext::ext::import_records::ImportRecordsRequest;
use tidelog_protocol_ext::ext::lookup::{LookupKey, LookupPrefix, LookupRequest};
use tidelog_protocol_ext::ext::scan::ScanRequest;
use tidelog_protocol_ext::ext::tier_status::TierStatusRequest;
use tidelog_protocol_ext::ext::union_read_offsets::UnionReadOffsetsRequest;
use tidelog_protocol_ext::ext::{self, Request, Wire};
use tidelog_protocol_ext::shape::{Field, Kind};
use tidelog_protocol_ext::{Fault, Rope, WireError, api_key, frame, header};

const DOCUMENT: &str = include_str!("../../../docs/protocol-ext.md");

macro_rules! for_each_api {
    ($check:ident) => {
        $check::<ColumnarFetchRequest>(
            include_str!("../../messages/ColumnarFetchRequest.json"),
            include_str!("../../messages/ColumnarFetchResponse.json"),
        );
        $check::<ColumnarProduceRequest>(
            include_str!("../../messages/ColumnarProduceRequest.json"),
            include_str!("../../messages/ColumnarProduceResponse.json"),
        );
        $check::<LookupRequest>(
            include_str!("../../messages/LookupRequest.json"),
            include_str!("../../messages/LookupResponse.json"),
        );
        $check::<UnionReadOffsetsRequest>(
            include_str!("../../messages/UnionReadOffsetsRequest.json"),
            include_str!("../../messages/UnionReadOffsetsResponse.json"),
        );
        $check::<DescribeTableRequest>(
            include_str!("../../messages/DescribeTableRequest.json"),
            include_str!("../../messages/DescribeTableResponse.json"),
        );
        $check::<AlterTableRequest>(
            include_str!("../../messages/AlterTableRequest.json"),
            include_str!("../../messages/AlterTableResponse.json"),
        );
        $check::<ScanRequest>(
            include_str!("../../messages/ScanRequest.json"),
            include_str!("../../messages/ScanResponse.json"),
        );
        $check::<TierStatusRequest>(
            include_str!("../../messages/TierStatusRequest.json"),
            include_str!("../../messages/TierStatusResponse.json"),
        );
        $check::<ImportRecordsRequest>(
            include_str!("../../messages/ImportRecordsRequest.json"),
            include_str!("../../messages/ImportRecordsResponse.json"),
        );
    };
}

#[test]
fn schemas_list_the_fields_of_the_structs() {
    fn check<R: Request>(request: &str, response: &str) {
        let request: Value = serde_json::from_str(request).unwrap();
        let response: Value = serde_json::from_str(response).unwrap();
        for (schema, kind, fields) in [
            (&request, "request", fields_of::<R>()),
            (&response, "response", fields_of::<R::Response>()),
        ] {
            let capital = kind[..1].to_uppercase() + &kind[1..];
            assert_eq!(schema["apiKey"], R::KEY);
            assert_eq!(schema["type"], kind);
            assert_eq!(schema["name"], format!("{}{capital}", R::NAME));
            let valid = match R::VERSIONS.last {
                0 => "0".to_owned(),
                last => format!("0-{last}"),
            };
            assert_eq!(schema["validVersions"], valid);
            assert_eq!(schema["flexibleVersions"], "0+");
            let mut rows = String::from("| Field | Type | Meaning |\n|---|---|---|\n");
            compare_fields(R::NAME, &schema["fields"], fields, 0, &mut rows);
            assert!(
                DOCUMENT.contains(&rows),
                "table of {} {kind}:\n{rows}",
                R::NAME
            );
        }
    }
    for_each_api!(check);
}

fn fields_of<T: Wire>() -> &'static [Field] {
    match T::KIND {
        Kind::Struct(fields) => fields,
        other => panic!("a message is a struct, not {other:?}"),
    }
}

/// Compares a schema with a struct and adds the rows that document it.
fn compare_fields(
    place: &str,
    schema: &Value,
    fields: &'static [Field],
    depth: usize,
    rows: &mut String,
) {
    let schema = schema.as_array().unwrap();
    assert_eq!(schema.len(), fields.len(), "{place}");
    for (entry, field) in schema.iter().zip(fields) {
        let place = format!("{place}.{}", field.name);
        assert_eq!(entry["name"], camel_case(field.name), "{place}");
        let since = field.versions.first;
        let versions = Value::from(format!("{since}+"));
        assert_eq!(entry["versions"], versions, "{place}");
        let nullable = entry.get("nullableVersions") == Some(&versions);
        assert_eq!(nullable, field.nullable.contains(0), "{place}");
        let (declared, about) = (entry["type"].as_str(), entry["about"].as_str());
        let (declared, about) = (declared.unwrap(), about.unwrap());
        let documented = match field.kind {
            Kind::Structs(_) => "array".to_owned(),
            _ => declared.replace("[]", "array of "),
        };
        let (indent, null) = ("· ".repeat(depth), if nullable { ", nullable" } else { "" });
        let later = match since {
            0 => String::new(),
            since => format!(", since version {since}"),
        };
        *rows += &format!(
            "| {indent}`{}` | {documented}{null}{later} | {about} |\n",
            field.name
        );
        match field.kind {
            Kind::Structs(inner) => {
                assert!(declared.starts_with("[]"), "{place}");
                compare_fields(&place, &entry["fields"], inner, depth + 1, rows);
            }
            Kind::Array(element) => assert_eq!(declared, format!("[]{}", primitive(*element))),
            kind => assert_eq!(declared, primitive(kind), "{place}"),
        }
    }
}

fn primitive(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int32 => "int32",
        Kind::UInt16 => "uint16",
        Kind::UInt32 => "uint32",
        Kind::Int64 => "int64",
        Kind::Float64 => "float64",
        Kind::Uuid => "uuid",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Struct(_) | Kind::Array(_) | Kind::Structs(_) => panic!("{kind:?} is no primitive"),
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        name + &word[..1].to_uppercase() + &word[1..]
    })
}

#[test]
fn bodies_made_from_schemas_survive_the_structs() {
    fn check<R: Request>(_: &str, _: &str) {
        let mut rng = SmallRng::seed_from_u64(7);
        for round in 0..300 {
            let version = round % (R::VERSIONS.last + 1);
            let body = random_body::<R>(&mut rng, version);
            let request: R = ext::decode_request(version, body).unwrap();
            let chunks = ext::encode_request(version, 5, Some("c"), &request).unwrap();
            let frame = Rope::from(chunks).to_bytes().slice(frame::SIZE_BYTES..);
            let (header, body) = header::parse_request(frame).unwrap();
            assert_eq!((header.api_key, header.correlation_id), (R::KEY, 5));
            assert_eq!(put(&request, version), body);
            let again = ext::decode_request::<R>(version, body.clone()).unwrap();
            assert_eq!(put(&again, version), body);

            let body = random_body::<R::Response>(&mut rng, version);
            let response = ext::decode_response::<R>(version, body).unwrap();
            let chunks = ext::encode_response::<R>(version, 6, &response).unwrap();
            let frame = Rope::from(chunks).to_bytes().slice(frame::SIZE_BYTES..);
            let (correlation_id, body) = header::parse_response(R::KEY, version, frame).unwrap();
            assert_eq!(correlation_id, 6);
            let again = ext::decode_response::<R>(version, body.clone()).unwrap();
            assert_eq!(put(&again, version), body);
        }
    }
    for_each_api!(check);
}

#[test]
fn damaged_bodies_never_panic() {
    fn check<R: Request>(_: &str, _: &str) {
        let mut rng = SmallRng::seed_from_u64(8);
        for round in 0..2000 {
            let version = round % (R::VERSIONS.last + 1);
            let mut request = random_body::<R>(&mut rng, version).to_vec();
            mutate(&mut rng, &mut request);
            let _ = ext::decode_request::<R>(version, request.into());
            let mut response = random_body::<R::Response>(&mut rng, version).to_vec();
            mutate(&mut rng, &mut response);
            let _ = ext::decode_response::<R>(version, response.into());
        }
    }
    for_each_api!(check);
}

#[test]
fn a_version_carries_what_it_had() {
    let key = LookupKey {
        partition: -1,
        key: Bytes::from_static(b"k"),
    };
    let keys = LookupRequest {
        keys: vec![key],
        ..LookupRequest::default()
    };
    assert_eq!(put(&keys, 1).len(), put(&keys, 0).len() + 1);
    let prefixes = LookupRequest {
        prefixes: vec![LookupPrefix::default()],
        ..keys.clone()
    };
    let first = ext::decode_request::<LookupRequest>(0, put(&prefixes, 0)).unwrap();
    assert_eq!(first, keys);
    // Nobody is asked for less than was meant.
    assert!(ext::encode_request(0, 1, None, &keys).is_ok());
    assert!(ext::encode_request(1, 1, None, &prefixes).is_ok());
    let error = ext::encode_request(0, 1, None, &prefixes).unwrap_err();
    assert_eq!(error.to_string(), "Lookup has no version 0");
}

fn random_body<T: Wire>(rng: &mut SmallRng, version: i16) -> Bytes {
    let mut generator = Generator::new(rng, version, true);
    generator.structure(fields_of::<T>());
    generator.bytes.into()
}

fn put<T: Wire>(message: &T, version: i16) -> Bytes {
    let mut writer = tidelog_protocol_ext::primitives::Writer::new();
    message.put(&mut writer, version);
    Rope::from(writer.into_chunks().unwrap()).to_bytes()
}

#[test]
fn row_payloads_leave_as_they_came() {
    let file = Bytes::from(vec![1; 8192]);
    let tail = Bytes::from(vec![2; 4096]);
    let response = ColumnarFetchResponse {
        topics: vec![TopicRows {
            partitions: vec![PartitionRows {
                next_offset: 10,
                runs: vec![Run {
                    row_count: 3,
                    messages: vec![file.slice(64..4096), tail.clone()].into(),
                    checksums: vec![0xdead_beef],
                    ..Run::default()
                }],
                ..PartitionRows::default()
            }],
            ..TopicRows::default()
        }],
        ..ColumnarFetchResponse::default()
    };
    let chunks = ext::encode_response::<ColumnarFetchRequest>(0, 1, &response).unwrap();
    assert_eq!(chunks.len(), 4);
    assert_eq!(chunks[1].as_ptr(), file[64..].as_ptr());
    assert_eq!(chunks[2].as_ptr(), tail.as_ptr());

    let frame = Rope::from(chunks).to_bytes();
    let received = frame.as_ptr_range();
    let (_, body) = header::parse_response(16_000, 0, frame.slice(frame::SIZE_BYTES..)).unwrap();
    let decoded = ext::decode_response::<ColumnarFetchRequest>(0, body).unwrap();
    assert_eq!(decoded, response);
    let messages = decoded.topics[0].partitions[0].runs[0].messages.to_bytes();
    assert!(received.contains(&messages.as_ptr()));
}

/// The example of docs/protocol-ext.md, byte for byte.
#[test]
fn the_documented_frame() {
    let request = ColumnarFetchRequest {
        max_wait_ms: 500,
        min_rows: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic_id: uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            projection: Some(vec!["city".into(), "#17".into()]),
            filter: None,
            partitions: vec![FetchPartition {
                partition: 0,
                current_leader_epoch: -1,
                fetch_offset: 42,
                partition_max_bytes: 1 << 20,
            }],
        }],
    };
    let chunks = ext::encode_request(0, 7, Some("me"), &request).unwrap();
    let frame = Rope::from(chunks).to_bytes();
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let example = DOCUMENT
        .split("<!-- example: ColumnarFetch request -->")
        .nth(1)
        .unwrap();
    let block = example.split("```").nth(1).unwrap();
    let bytes: String = block
        .lines()
        .skip(1)
        .flat_map(|line| {
            line.split("  ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
        })
        .collect();
    assert_eq!(bytes, hex);
}

#[test]
fn faults_name_their_field_and_versions_their_api() {
    let error = ext::decode_request::<ColumnarFetchRequest>(0, Bytes::from_static(&[0; 9]));
    let WireError::Body {
        field, malformed, ..
    } = error.unwrap_err()
    else {
        panic!("not a body error")
    };
    assert_eq!((field, malformed.at), ("max_bytes", 8));
    assert_eq!(malformed.fault, Fault::Truncated { needed: 4, left: 1 });
    let error = ext::decode_request::<LookupRequest>(2, Bytes::new()).unwrap_err();
    assert_eq!(error.to_string(), "Lookup has no version 2");
}

#[test]
fn keys_are_listed_where_headers_are_chosen() {
    for &(key, name, _) in ext::APIS {
        assert!((api_key::EXT_FIRST..=api_key::EXT_LAST).contains(&key));
        assert_eq!(api_key::name(key), name);
        assert_eq!(api_key::request_header_version(key, 0), Some(2));
        assert_eq!(api_key::response_header_version(key, 0), Some(1));
    }
    let ours = api_key::ALL
        .iter()
        .filter(|api| api.key >= api_key::EXT_FIRST);
    assert_eq!(ours.count(), ext::APIS.len());
}
