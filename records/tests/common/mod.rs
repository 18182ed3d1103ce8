//! The records that every foreign fixture holds.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

use bytes::Bytes;
use tidelog_records::{BatchBuilder, Record};

pub const T: i64 = 1_700_000_000_000;
pub const LIMIT: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl From<Record<'_>> for Owned {
    fn from(record: Record<'_>) -> Self {
        Self {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

impl Owned {
    pub fn append_to(&self, batch: &mut BatchBuilder) {
        let headers = self
            .headers
            .iter()
            .map(|(k, v)| (k.as_slice(), v.as_deref()));
        batch
            .append(
                self.timestamp,
                self.key.as_deref(),
                self.value.as_deref(),
                headers,
            )
            .expect("a small record");
    }
}

/// Null keys, null and empty values, duplicate headers, timestamps that go back.
pub fn story(large: bool, with_headers: bool) -> Vec<Owned> {
    (0..20i64)
        .map(|i| {
            let value = match i % 7 {
                4 => None,
                5 => Some(Vec::new()),
                _ if large && i == 9 => Some(b"0123456789abcdef".repeat(6250)),
                _ => Some(format!("value {i} ").repeat(20).into_bytes()),
            };
            let headers = match i % 2 == 0 && with_headers {
                true => vec![
                    (b"trace".to_vec(), Some(vec![i as u8])),
                    (b"none".to_vec(), None),
                    (b"trace".to_vec(), Some(vec![i as u8 + 1])),
                ],
                false => Vec::new(),
            };
            Owned {
                timestamp: T + if i % 3 == 2 { -i } else { i * 5 },
                key: (i % 5 != 3).then(|| format!("key-{i}").into_bytes()),
                value,
                headers,
            }
        })
        .collect()
}

pub fn fixture(name: &str) -> Bytes {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fixtures", name]
        .iter()
        .collect();
    Bytes::from(std::fs::read(path).expect("the fixture is there"))
}

/// `"00 0a ff"` to bytes.
pub fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"))
        .collect()
}

/// Makes the crc true after a test changed the batch.
pub fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
