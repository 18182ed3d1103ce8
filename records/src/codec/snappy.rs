//! Snappy in the two framings found in batches.
//!
//! Java's streams write xerial framing: an 8-byte magic, two versions (i32), then blocks, each a
//! length (i32, big-endian) and a raw snappy block. librdkafka and kafkajs write one raw block.
//! Both sides read both. A raw block cannot start like the magic: it would declare a length whose
//! first copy points before the output.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::output::{Fault, Output};

const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version, lowest compatible version.
const XERIAL_HEADER_LEN: usize = 16;
/// Java's block size; a larger one would not fit its default read buffer.
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy makes at most 64 bytes out of 3; more than this is a false declaration, and is refused
/// before memory is taken for it.
const MAX_RATIO: usize = 24;

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    if !bytes.starts_with(&XERIAL_MAGIC) {
        let mut out = Output::new(limit, 0);
        decompress_block(bytes, &mut out)?;
        return Ok(out.into_bytes());
    }
    let mut out = Output::new(limit, bytes.len().saturating_mul(2));
    let mut rest = bytes;
    while !rest.is_empty() {
        // A header may come again where streams were put one behind the other.
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest
                .get(XERIAL_HEADER_LEN..)
                .ok_or_else(|| Fault::malformed("short header"))?;
            continue;
        }
        let (block, after) = split_block(rest).ok_or_else(|| Fault::malformed("short block"))?;
        decompress_block(block, &mut out)?;
        rest = after;
    }
    Ok(out.into_bytes())
}

fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

fn decompress_block(block: &[u8], out: &mut Output) -> Result<(), Fault> {
    let len = decompress_len(block).map_err(Fault::malformed)?;
    if len > block.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::malformed("declared length out of proportion"));
    }
    let (_, slot) = out.extend(len)?;
    Decoder::new()
        .decompress(block, slot)
        .map_err(Fault::malformed)?;
    Ok(())
}

pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, snap::Error> {
    let mut out = Vec::with_capacity(XERIAL_HEADER_LEN + bytes.len() / 2);
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = Encoder::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut out[start + 4..])?;
        out[start..start + 4].copy_from_slice(&(len as u32).to_be_bytes());
        out.truncate(start + 4 + len);
    }
    Ok(out)
}
