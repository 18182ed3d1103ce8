//! The buffer that decompressed bytes go to: it has a limit, and its allocation keeps to it.

use std::io::Read;

/// Room made at a time when nothing better is known.
const STEP_BYTES: usize = 16 * 1024;

/// What went wrong, before the codec's name is put to it.
pub(super) enum Fault {
    Limit,
    Malformed(String),
}

impl Fault {
    pub(super) fn malformed(reason: impl ToString) -> Self {
        Self::Malformed(reason.to_string())
    }
}

pub(super) struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    /// `expected` bytes are a guess, often the sender's: it is capped by the limit.
    pub(super) fn new(limit: usize, expected: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(expected.min(limit)),
            limit,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn remaining(&self) -> usize {
        self.limit - self.bytes.len()
    }

    /// Appends `count` zero bytes and gives (what was there, the new bytes).
    pub(super) fn extend(&mut self, count: usize) -> Result<(&[u8], &mut [u8]), Fault> {
        if count > self.remaining() {
            return Err(Fault::Limit);
        }
        let start = self.bytes.len();
        self.reserve(count);
        self.bytes.resize(start + count, 0);
        let (done, fresh) = self.bytes.split_at_mut(start);
        Ok((done, fresh))
    }

    /// Doubles like a `Vec`, but stops at the limit.
    fn reserve(&mut self, count: usize) {
        let needed = self.bytes.len() + count;
        if needed > self.bytes.capacity() {
            let target = needed
                .max(self.bytes.capacity().saturating_mul(2))
                .min(self.limit);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn written_since(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Appends all that `reader` gives; it reads from memory, so no error of it is worth a retry.
    pub(super) fn read_all(&mut self, mut reader: impl Read) -> Result<(), Fault> {
        loop {
            let start = self.len();
            // At the limit one byte more tells "ends here" from "goes on".
            let mut probe = [0u8];
            let room = self.len().max(STEP_BYTES).min(self.remaining());
            let slot = if room == 0 {
                &mut probe[..]
            } else {
                self.extend(room)?.1
            };
            let read = reader.read(slot).map_err(Fault::malformed)?;
            if room == 0 && read > 0 {
                return Err(Fault::Limit);
            }
            self.truncate(start + read);
            if read == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
