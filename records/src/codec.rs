//! Compression of a batch's records: the four codecs, each in the framing that clients speak.
//!
//! | codec | written | read |
//! |---|---|---|
//! | gzip | one member | any number of members |
//! | snappy | xerial blocks of 32 KiB | xerial blocks, or one raw snappy block (librdkafka, kafkajs) |
//! | lz4 | frame, independent 64 KiB blocks | frames with any mix of flags except a dictionary |
//! | zstd | one frame with its size | any number of frames, sizes known or not |
//!
//! Decompressed bytes never pass the caller's limit, and the buffer that takes them is never
//! larger than it: a bomb costs its sender as much as us.

mod lz4;
mod output;
mod snappy;
mod zstd;

use std::borrow::Cow;
use std::io::Write;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use output::{Fault, Output};

/// Compression of a batch's records, by Kafka's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    /// The codec of an attribute id; `None` for an id that Kafka does not define.
    pub fn from_id(id: i16) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// The id that stands in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The name that Kafka's `compression.type` uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The data would decompress to more than the caller allows.
    #[error("{} data decompresses to more than {limit_bytes} bytes", codec.name())]
    LimitExceeded { codec: Codec, limit_bytes: usize },
    /// The data is not what the codec's format allows, or ends early.
    #[error("malformed {} data: {reason}", codec.name())]
    Malformed { codec: Codec, reason: String },
    /// The compressor refused; with these codecs that means memory or input size.
    #[error("{} compression failed: {reason}", codec.name())]
    Encode { codec: Codec, reason: String },
}

/// Decompresses `bytes` into at most `limit_bytes`; borrows them when there is nothing to do.
///
/// # Errors
/// [`CodecError::LimitExceeded`] or [`CodecError::Malformed`]. No bytes at all are malformed for
/// every codec but [`Codec::None`].
pub fn decompress(
    codec: Codec,
    bytes: &[u8],
    limit_bytes: usize,
) -> Result<Cow<'_, [u8]>, CodecError> {
    let decode = match codec {
        Codec::None if bytes.len() > limit_bytes => {
            return Err(CodecError::LimitExceeded { codec, limit_bytes });
        }
        Codec::None => return Ok(Cow::Borrowed(bytes)),
        Codec::Gzip => gunzip,
        Codec::Snappy => snappy::decompress,
        Codec::Lz4 => lz4::decompress,
        Codec::Zstd => zstd::decompress,
    };
    let done = if bytes.is_empty() {
        Err(Fault::malformed("no bytes"))
    } else {
        decode(bytes, limit_bytes)
    };
    done.map(Cow::Owned).map_err(|fault| match fault {
        Fault::Limit => CodecError::LimitExceeded { codec, limit_bytes },
        Fault::Malformed(reason) => CodecError::Malformed { codec, reason },
    })
}

/// Compresses `bytes`.
///
/// `level` is the codec's own (gzip 1–9, zstd −131072–22) and is brought into that range; `None`
/// is Kafka's default (gzip 6, zstd 3). Snappy and lz4 have one level here.
///
/// # Errors
/// [`CodecError::Encode`].
pub fn compress(codec: Codec, level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let failed = |reason: String| CodecError::Encode { codec, reason };
    match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => gzip(level, bytes).map_err(|e| failed(e.to_string())),
        Codec::Snappy => snappy::compress(bytes).map_err(|e| failed(e.to_string())),
        Codec::Lz4 => lz4::compress(bytes).map_err(|e| failed(e.to_string())),
        Codec::Zstd => zstd::compress(level, bytes).map_err(|e| failed(e.to_string())),
    }
}

fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Output::new(limit, bytes.len().saturating_mul(4));
    out.read_all(MultiGzDecoder::new(bytes))?;
    Ok(out.into_bytes())
}

fn gzip(level: Option<i32>, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // Kafka writes "default" as −1.
    let level = match level {
        None | Some(-1) => Compression::default(),
        Some(level) => Compression::new(level.clamp(1, 9) as u32),
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}
