//! Memory whose start is aligned for direct writes, and which becomes shared `Bytes` in place.

use bytes::Bytes;

use super::BLOCK;

/// A buffer of fixed capacity that begins at a multiple of [`BLOCK`].
///
/// Alignment is had by allocating one block more and starting at the first aligned byte: it costs
/// at most 4 KiB and needs no unsafe code.
pub struct AlignedBuf {
    memory: Vec<u8>,
    start: usize,
}

impl AlignedBuf {
    /// Room for `capacity` bytes, none of them used.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(capacity + BLOCK);
        let start = memory.as_ptr().align_offset(BLOCK);
        assert!(
            start <= BLOCK,
            "the first aligned byte lies within one block"
        );
        memory.resize(start, 0);
        Self { memory, start }
    }

    /// Appends; growing past the capacity would move the memory and lose its alignment.
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(
            self.memory.len() + bytes.len() <= self.memory.capacity(),
            "aligned buffer is full"
        );
        self.memory.extend_from_slice(bytes);
    }

    /// Appends zeros up to a multiple of `unit`.
    pub fn pad_to(&mut self, unit: usize) {
        let len = self.len().next_multiple_of(unit);
        assert!(
            self.start + len <= self.memory.capacity(),
            "aligned buffer is full"
        );
        self.memory.resize(self.start + len, 0);
    }

    pub fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }

    /// Shares the bytes without a copy.
    pub fn into_bytes(self) -> Bytes {
        let start = self.start;
        Bytes::from(self.memory).slice(start..)
    }
}
