//! Record batches, right ones and wrong ones, and what an answer's batches hold.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::codec::hex;

/// Create time of the records made here, unless a script says otherwise.
pub const BASE_TIME: i64 = 1_700_000_000_000;

/// Bytes before the first record.
const HEADER_BYTES: usize = 61;
/// The checksum covers what stands from here on.
const CRC_FROM: usize = 21;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

pub const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

#[derive(Debug, Clone)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Option<&'static str>)>,
    time: i64,
}

/// A batch of format 2 in the making: sound, until a script changes a field.
#[derive(Debug, Clone)]
pub struct Batch {
    records: Vec<Record>,
    codec: Codec,
    /// Bits of the attributes besides the codec.
    pub bits: i16,
    pub magic: i8,
    pub leader_epoch: i32,
    pub base_offset: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// `Some` overrides what the records say.
    pub count: Option<i32>,
    pub last_offset_delta: Option<i32>,
    pub max_time: Option<i64>,
    /// Added to the checksum.
    pub crc_error: u32,
    /// Added to the length.
    pub length_error: i32,
}

pub const LOG_APPEND_TIME: i16 = 1 << 3;
pub const TRANSACTIONAL: i16 = 1 << 4;
pub const CONTROL: i16 = 1 << 5;

impl Batch {
    pub fn empty() -> Self {
        Self {
            records: Vec::new(),
            codec: Codec::None,
            bits: 0,
            magic: 2,
            leader_epoch: -1,
            base_offset: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: None,
            last_offset_delta: None,
            max_time: None,
            crc_error: 0,
            length_error: 0,
        }
    }

    /// One record per value, the key of each is `k`, one millisecond apart.
    pub fn of(values: &[&str]) -> Self {
        let mut batch = Self::empty();
        for (value, time) in values.iter().zip(BASE_TIME..) {
            batch = batch.record(Some("k"), Some(value), time);
        }
        batch
    }

    pub fn record(mut self, key: Option<&str>, value: Option<&str>, time: i64) -> Self {
        self.records.push(Record {
            key: key.map(|key| key.as_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: Vec::new(),
            time,
        });
        self
    }

    /// Adds a header to the last record.
    pub fn header(mut self, name: &'static str, value: Option<&'static str>) -> Self {
        if let Some(record) = self.records.last_mut() {
            record.headers.push((name, value));
        }
        self
    }

    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    pub fn bits(mut self, bits: i16) -> Self {
        self.bits |= bits;
        self
    }

    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// For the fields without a method of their own.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The batch as a field of a request.
    pub fn json(&self) -> Value {
        hex(&self.bytes()).into()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let base_time = self.records.first().map_or(BASE_TIME, |record| record.time);
        let latest = self.records.iter().map(|record| record.time).max();
        let count = self.records.len() as i32;
        let mut tail = Vec::new();
        tail.extend((self.bits | self.codec as i16).to_be_bytes());
        tail.extend(self.last_offset_delta.unwrap_or(count - 1).to_be_bytes());
        tail.extend(base_time.to_be_bytes());
        tail.extend(self.max_time.or(latest).unwrap_or(-1).to_be_bytes());
        tail.extend(self.producer_id.to_be_bytes());
        tail.extend(self.producer_epoch.to_be_bytes());
        tail.extend(self.base_sequence.to_be_bytes());
        tail.extend(self.count.unwrap_or(count).to_be_bytes());
        tail.extend(compress(self.codec, &self.record_bytes(base_time)));

        let length = (tail.len() + CRC_FROM - 12) as i32 + self.length_error;
        let crc = crc32c::crc32c(&tail).wrapping_add(self.crc_error);
        let mut bytes = Vec::new();
        bytes.extend(self.base_offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.leader_epoch.to_be_bytes());
        bytes.extend(self.magic.to_be_bytes());
        bytes.extend(crc.to_be_bytes());
        bytes.extend(tail);
        bytes
    }

    fn record_bytes(&self, base_time: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (record, delta) in self.records.iter().zip(0..) {
            let mut body = vec![0];
            put_zigzag(&mut body, record.time.wrapping_sub(base_time));
            put_zigzag(&mut body, delta);
            put_blob(&mut body, record.key.as_deref());
            put_blob(&mut body, record.value.as_deref());
            put_zigzag(&mut body, record.headers.len() as i64);
            for (name, value) in &record.headers {
                put_blob(&mut body, Some(name.as_bytes()));
                put_blob(&mut body, value.map(str::as_bytes));
            }
            put_zigzag(&mut bytes, body.len() as i64);
            bytes.extend(body);
        }
        bytes
    }
}

/// One message of the formats before 2.
pub fn old_message(magic: u8, value: &str) -> Value {
    let mut tail = vec![magic, 0];
    if magic == 1 {
        tail.extend(BASE_TIME.to_be_bytes());
    }
    tail.extend((-1i32).to_be_bytes());
    tail.extend((value.len() as i32).to_be_bytes());
    tail.extend(value.as_bytes());
    let mut bytes = Vec::new();
    bytes.extend(0i64.to_be_bytes());
    bytes.extend((tail.len() as i32 + 4).to_be_bytes());
    bytes.extend(crc32(&tail).to_be_bytes());
    bytes.extend(tail);
    hex(&bytes).into()
}

/// What an answer's batches say, in place of their bytes. The last may be cut off by a limit: clients
/// then leave it, and so does this.
pub fn describe(mut bytes: &[u8]) -> Value {
    let mut batches = Vec::new();
    while !is_cut_off(bytes) {
        match describe_first(bytes) {
            Ok((batch, rest)) => {
                batches.push(batch);
                bytes = rest;
            }
            Err(error) => {
                batches.push(json!({ "unreadable": error.to_string() }));
                break;
            }
        }
    }
    batches.into()
}

fn is_cut_off(bytes: &[u8]) -> bool {
    let length = bytes.get(8..12).and_then(|length| length.try_into().ok());
    let length = length.map(i32::from_be_bytes).map(usize::try_from);
    match length {
        None => true,
        Some(length) => length.is_ok_and(|length| bytes.len() < length.saturating_add(12)),
    }
}

fn describe_first(bytes: &[u8]) -> Result<(Value, &[u8])> {
    ensure!(bytes.len() >= HEADER_BYTES, "cut off in the header");
    let int64 = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let int32 = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let int16 = |at: usize| i16::from_be_bytes(bytes[at..at + 2].try_into().unwrap_or_default());
    let size = usize::try_from(int32(8))? + 12;
    ensure!(
        (HEADER_BYTES..=bytes.len()).contains(&size),
        "a length of {size}"
    );
    let attributes = int16(21);
    let sound = crc32c::crc32c(&bytes[CRC_FROM..size]) == int32(17) as u32;
    let content = decompress(attributes & 7, &bytes[HEADER_BYTES..size])?;
    let batch = json!({
        "base_offset": int64(0),
        "leader_epoch": int32(12),
        "magic": bytes[16],
        "crc": if sound { "right" } else { "wrong" },
        "attributes": attributes,
        "last_offset_delta": int32(23),
        "base_timestamp": int64(27),
        "max_timestamp": int64(35),
        "producer_id": int64(43),
        "producer_epoch": int16(51),
        "base_sequence": int32(53),
        "count": int32(57),
        "records": describe_records(&content)?,
    });
    Ok((batch, &bytes[size..]))
}

fn describe_records(mut bytes: &[u8]) -> Result<Value> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(take_zigzag(&mut bytes)?)?;
        let (mut body, rest) = bytes
            .split_at_checked(length)
            .context("a record is cut off")?;
        bytes = rest;
        body = body.get(1..).context("an empty record")?;
        let time = take_zigzag(&mut body)?;
        let offset = take_zigzag(&mut body)?;
        let key = take_blob(&mut body)?;
        let value = take_blob(&mut body)?;
        let mut record = format!("+{offset} +{time}ms {key} = {value}");
        for _ in 0..take_zigzag(&mut body)? {
            let (name, value) = (take_blob(&mut body)?, take_blob(&mut body)?);
            record.push_str(&format!(", {name}: {value}"));
        }
        records.push(Value::from(record));
    }
    Ok(records.into())
}

fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    // Writing into memory does not fail.
    let compressed = match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Codec::Snappy => snap::raw::Encoder::new()
            .compress_vec(bytes)
            .map(|block| [XERIAL, &(block.len() as i32).to_be_bytes(), &block].concat())
            .map_err(std::io::Error::other),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder
                .write_all(bytes)
                .and_then(|()| encoder.finish().map_err(std::io::Error::other))
        }
        Codec::Zstd => zstd::encode_all(bytes, 3),
    };
    compressed.expect("memory takes every byte")
}

fn decompress(codec: i16, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    match codec {
        0 => plain.extend(bytes),
        1 => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?),
        2 => {
            let mut rest = bytes
                .strip_prefix(XERIAL)
                .context("snappy without its frame")?;
            while let Some((length, behind)) = rest.split_at_checked(4) {
                let length = i32::from_be_bytes(length.try_into()?);
                let block = behind.split_at_checked(usize::try_from(length)?);
                let (block, behind) = block.context("a snappy block is cut off")?;
                plain.extend(snap::raw::Decoder::new().decompress_vec(block)?);
                rest = behind;
            }
        }
        3 => drop(lz4_flex::frame::FrameDecoder::new(bytes).read_to_end(&mut plain)?),
        4 => plain = zstd::decode_all(bytes)?,
        _ => bail!("codec {codec}"),
    }
    Ok(plain)
}

/// The frame that snappy has in Kafka: magic, version and lowest version; blocks with lengths follow.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

fn put_zigzag(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn put_blob(bytes: &mut Vec<u8>, blob: Option<&[u8]>) {
    put_zigzag(bytes, blob.map_or(-1, |blob| blob.len() as i64));
    bytes.extend(blob.unwrap_or_default());
}

fn take_zigzag(bytes: &mut &[u8]) -> Result<i64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().context("a number is cut off")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift.min(63);
        if *byte < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    bail!("a number of more than ten bytes");
}

/// A key or value as text; a long one by its length and checksum.
fn take_blob(bytes: &mut &[u8]) -> Result<String> {
    let Ok(length) = usize::try_from(take_zigzag(bytes)?) else {
        return Ok("null".to_owned());
    };
    let (blob, rest) = bytes
        .split_at_checked(length)
        .context("a blob is cut off")?;
    *bytes = rest;
    Ok(match std::str::from_utf8(blob) {
        Ok(text) if length <= 64 && !text.contains(char::is_control) => format!("{text:?}"),
        _ if length <= 64 => hex(blob),
        _ => format!("{length} bytes with crc32c {:08x}", crc32c::crc32c(blob)),
    })
}

/// The checksum of the old formats (IEEE), bit by bit: they are short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_is_described_alike() {
        for codec in CODECS {
            let batch = Batch::of(&["a", "b"]).header("h", None).codec(codec);
            let tree = describe(&batch.bytes());
            assert_eq!(tree[0]["crc"], "right");
            let records = json!([r#"+0 +0ms "k" = "a""#, r#"+1 +1ms "k" = "b", "h": null"#]);
            assert_eq!(tree[0]["records"], records, "{codec:?}");
        }
    }

    #[test]
    fn the_old_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
