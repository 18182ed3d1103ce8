//! The LZ4 frame format, read block by block straight into the output.
//!
//! ```text
//! magic u32 · FLG · BD · [content size u64] · HC │ block … │ end mark 0u32 · [content checksum]
//! block = size u32 (top bit: stored) · bytes · [block checksum]          all little-endian
//! ```
//!
//! Every checksum that is present is verified. In linked mode the last 64 KiB of output are the
//! next block's dictionary. Frames may follow each other. A frame without its end mark is an error:
//! it was cut. Dictionaries, skippable and legacy frames occur in no Kafka client and are refused.
//!
//! Source: "LZ4 Frame Format Description" 1.6. Batches v2 use the standard header checksum; the
//! false one of message format v0 is not read.

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::output::{Fault, Output};

const MAGIC: u32 = 0x184D_2204;
const END_MARK: u32 = 0;
const STORED_BIT: u32 = 0x8000_0000;
const WINDOW_BYTES: usize = 64 * 1024;
/// One length byte stands for at most 255 bytes of output.
const MAX_RATIO: usize = 255;

const FLG_VERSION: u8 = 0b1100_0000;
const FLG_VERSION_1: u8 = 0b0100_0000;
const FLG_INDEPENDENT: u8 = 0b0010_0000;
const FLG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const FLG_RESERVED: u8 = 0b0000_0010;
const FLG_DICTIONARY: u8 = 0b0000_0001;

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Output::new(limit, bytes.len().saturating_mul(4));
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let frame = Frame::read(&mut input)?;
        frame.decompress(&mut input, &mut out)?;
    }
    Ok(out.into_bytes())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Fault::malformed("cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| Fault::malformed("cut short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }
}

struct Frame {
    flags: u8,
    block_bytes_max: usize,
    content_size: Option<u64>,
}

impl Frame {
    fn read(input: &mut Input<'_>) -> Result<Self, Fault> {
        if input.u32()? != MAGIC {
            return Err(Fault::malformed("no frame magic"));
        }
        let descriptor = input.0;
        let [flags, block_descriptor] = input.array()?;
        if flags & FLG_VERSION != FLG_VERSION_1 || flags & FLG_RESERVED != 0 {
            return Err(Fault::malformed("unknown frame version or flag"));
        }
        if flags & FLG_DICTIONARY != 0 {
            return Err(Fault::malformed("needs a dictionary"));
        }
        let block_bytes_max = match block_descriptor {
            0x40 => 64 * 1024,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return Err(Fault::malformed("unknown block size")),
        };
        let content_size = match flags & FLG_CONTENT_SIZE {
            0 => None,
            _ => Some(u64::from_le_bytes(input.array()?)),
        };
        let described = &descriptor[..descriptor.len() - input.0.len()];
        let [checksum] = input.array()?;
        if checksum != (XxHash32::oneshot(0, described) >> 8) as u8 {
            return Err(Fault::malformed("header checksum"));
        }
        Ok(Self {
            flags,
            block_bytes_max,
            content_size,
        })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn decompress(&self, input: &mut Input<'_>, out: &mut Output) -> Result<(), Fault> {
        let start = out.len();
        if self
            .content_size
            .is_some_and(|size| size > out.remaining() as u64)
        {
            return Err(Fault::Limit);
        }
        loop {
            let size = input.u32()?;
            if size == END_MARK {
                break;
            }
            let block = input.take((size & !STORED_BIT) as usize)?;
            if block.len() > self.block_bytes_max {
                return Err(Fault::malformed("block larger than the frame allows"));
            }
            if self.has(FLG_BLOCK_CHECKSUM) && input.u32()? != XxHash32::oneshot(0, block) {
                return Err(Fault::malformed("block checksum"));
            }
            if size & STORED_BIT != 0 {
                out.extend(block.len())?.1.copy_from_slice(block);
            } else {
                self.decompress_block(block, start, out)?;
            }
        }
        self.check_content(input, out.written_since(start))
    }

    fn decompress_block(&self, block: &[u8], start: usize, out: &mut Output) -> Result<(), Fault> {
        let most = self
            .block_bytes_max
            .min(block.len().saturating_mul(MAX_RATIO));
        let room = most.min(out.remaining());
        let before = out.len();
        let (done, slot) = out.extend(room)?;
        let window = &done[start.max(before.saturating_sub(WINDOW_BYTES))..];
        let written = if self.has(FLG_INDEPENDENT) || window.is_empty() {
            decompress_into(block, slot)
        } else {
            decompress_into_with_dict(block, slot, window)
        };
        let written = written.map_err(|e| match e {
            DecompressError::OutputTooSmall { .. } if room < most => Fault::Limit,
            other => Fault::malformed(other),
        })?;
        out.truncate(before + written);
        Ok(())
    }

    fn check_content(&self, input: &mut Input<'_>, content: &[u8]) -> Result<(), Fault> {
        if self
            .content_size
            .is_some_and(|size| size != content.len() as u64)
        {
            return Err(Fault::malformed("content size"));
        }
        if self.has(FLG_CONTENT_CHECKSUM) && input.u32()? != XxHash32::oneshot(0, content) {
            return Err(Fault::malformed("content checksum"));
        }
        Ok(())
    }
}

/// One frame as Java writes it: independent blocks of 64 KiB, no content checksum or size.
/// Old Java consumers refuse linked blocks.
pub(super) fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(32 + bytes.len() / 2));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
