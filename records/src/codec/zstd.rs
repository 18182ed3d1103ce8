//! Zstandard, decompressed in one shot: the output buffer is the window, so the frame's own
//! window size (up to 128 MiB by a header's word alone) costs no memory.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, get_error_name, get_frame_content_size, max_c_level, min_c_level};

use super::output::Fault;

/// First guess where the frame does not tell its size (Java's stream never does).
const GUESS_RATIO: usize = 6;
const GUESS_MIN_BYTES: usize = 4 * 1024;
const DESTINATION_TOO_SMALL: usize =
    (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let declared = get_frame_content_size(bytes).map_err(|_| Fault::malformed("frame header"))?;
    let mut capacity = match declared {
        Some(size) if size > limit as u64 => return Err(Fault::Limit),
        Some(size) => size as usize,
        None => bytes
            .len()
            .saturating_mul(GUESS_RATIO)
            .max(GUESS_MIN_BYTES)
            .min(limit),
    };
    let mut context = DCtx::try_create().ok_or_else(|| Fault::malformed("out of memory"))?;
    loop {
        let mut out = Vec::with_capacity(capacity);
        match context.decompress(&mut out, bytes) {
            Ok(_) if out.len() <= limit => return Ok(out),
            Ok(_) => return Err(Fault::Limit),
            Err(DESTINATION_TOO_SMALL) if capacity < limit => {
                // Frames of unknown size, or further frames behind the first: start again larger.
                capacity = capacity.max(GUESS_MIN_BYTES).saturating_mul(4).min(limit);
            }
            Err(DESTINATION_TOO_SMALL) => return Err(Fault::Limit),
            Err(code) => return Err(Fault::malformed(get_error_name(code))),
        }
    }
}

pub(super) fn compress(level: Option<i32>, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    zstd::bulk::compress(bytes, level.clamp(min_c_level(), max_c_level()))
}
