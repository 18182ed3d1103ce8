//! Bytes in several pieces that travel as one value, so that payloads are sent without a copy.

use bytes::{Bytes, BytesMut};

/// A byte value made of pieces, each a shared slice of some buffer (file block, tail chunk, frame).
///
/// Two ropes are equal when their bytes are, however they are cut. Empty pieces are not kept.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    pieces: Vec<Bytes>,
    len: usize,
}

impl Rope {
    /// The empty rope.
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }

    /// Appends one piece without copying it.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Length of the whole value in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order, none of them empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The value in one piece: free for up to one piece, a copy for more.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut whole = BytesMut::with_capacity(self.len);
                many.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        }
    }
}

impl From<Bytes> for Rope {
    fn from(piece: Bytes) -> Self {
        Self::from_iter([piece])
    }
}

impl From<Vec<Bytes>> for Rope {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self::from_iter(pieces)
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Self::new();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

impl PartialEq for Rope {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |rope: &Self| rope.pieces.clone().into_iter().flatten();
        self.len == other.len && bytes(self).eq(bytes(other))
    }
}

impl Eq for Rope {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_equal_however_they_are_cut() {
        let cut = Rope::from(vec![
            Bytes::from_static(b"ab"),
            Bytes::new(),
            Bytes::from_static(b"c"),
        ]);
        let whole = Rope::from(Bytes::from_static(b"abc"));
        assert_eq!(cut, whole);
        assert_eq!((cut.len(), cut.pieces().len()), (3, 2));
        assert_eq!(cut.to_bytes(), whole.to_bytes());
        assert_ne!(cut, Rope::from(Bytes::from_static(b"abd")));
        assert!(Rope::new().is_empty());
    }
}
