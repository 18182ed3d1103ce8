//! What a block's header says beyond Arrow: offsets, checksums, statistics.
//!
//! Kept in the message's custom metadata, whose values are text: CBOR in hex.

use std::fmt::Write;

use minicbor::{Decode, Encode};

use super::ColumnStats;
use crate::ids::Offset;

/// Name of the entry in the message's custom metadata.
pub(super) const KEY: &str = "tidelog.block";

/// Field numbers are for ever; new fields are optional.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) struct BlockInfo {
    /// First offset covered; at or below the first row's.
    #[n(0)]
    pub(super) base_offset: Offset,
    /// Next offset after the last one covered.
    #[n(1)]
    pub(super) end_offset: Offset,
    /// crc32c of each node's buffers, padding included, in order.
    #[n(2)]
    pub(super) crcs: Vec<u32>,
    /// Of each top-level column, in order.
    #[n(3)]
    pub(super) stats: Vec<ColumnStats>,
}

impl BlockInfo {
    pub(super) fn to_text(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to a vector cannot fail; a failure would show as an entry that does not decode.
        let _ = minicbor::encode(self, &mut bytes);
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
            .collect();
        minicbor::decode(&bytes?).ok()
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
